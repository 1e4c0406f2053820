"""The loop `stepwise` for CuPy's arrays: a product and a kernel a step, each one plain call.

What CuPy would look up at each call, the types, the layouts and the addresses, is made before the
loop over time.
"""

from typing import Any

import cupy

from xpbptt.kernels import loops
from xpbptt.kernels.cuda.product import product
from xpbptt.kernels.cuda.step import Step
from xpbptt.kernels.target import Buffers, HandBack, Kernel, Loop


def pack(params: Any, steps: int) -> Any:  # noqa: ARG001 - the contract's
    """Return W_hh, contiguous."""
    return cupy.ascontiguousarray(params.weight_hh)


def forward(kernel: Kernel, x: Any, params: Any, weight: Any, buffers: Buffers) -> None:
    """Run the steps in order; before each, multiply the state by the weights."""
    steps, batch, inputs = x.shape
    u = cupy.reshape(x, (steps * batch, inputs)).dot(params.weight_ih.T)
    v = cupy.empty((batch, u.shape[1]), dtype=u.dtype)
    known = buffers | {"u": u.reshape(steps, batch, -1), "v": v}
    step: Any = kernel.run
    function, grid, block, arguments, words = step.launch(_given(kernel, known))
    gemm, before, between, after = product(weight, batch, transposed=True)
    h, out = buffers[kernel.task.hidden], v.data.ptr
    row, size = h.data.ptr, h.strides[0]
    for t in range(steps):
        gemm(*before, row, *between, out, *after)
        words[0] = t
        function(grid, block, arguments)
        row += size


def backward(kernel: Kernel, params: Any, buffers: Buffers, hand_back: HandBack) -> None:
    """Run the steps from the last to the first; after each, multiply what goes back."""
    task, weight = kernel.task, cupy.ascontiguousarray(params.weight_hh)
    record, carried = buffers[task.record], [buffers[name] for name in task.carried]
    steps, batch, _ = record.shape
    step: Any = kernel.run
    function, grid, block, arguments, words = step.launch(_given(kernel, buffers))
    gemm, before, between, after = product(weight, batch, transposed=False)
    dv, size, out = record.data.ptr, record.strides[0], carried[0].data.ptr
    mask, clip, truncated = buffers.get("mask"), hand_back.clip, hand_back.truncate is not None
    for t in range(steps - 1, -1, -1):
        words[0] = t
        function(grid, block, arguments)
        gemm(*before, dv + t * size, *between, out, *after)
        if clip is not None:
            column = None if mask is None else mask[t, :, None]
            loops.clip_carried(carried, clip, column, xp=cupy)
        if truncated and hand_back.cuts(t):
            for part in carried:
                part[...] = 0


def _given(kernel: Kernel, buffers: Buffers) -> list[Any]:
    return [buffers[name] for name in kernel.task.program.names]


STEPWISE = Loop("stepwise", Step, pack, forward, backward)
