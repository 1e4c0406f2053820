"""The loop `stepwise` for CuPy's arrays: a product and a kernel a step, each one plain call.

What CuPy would look up at each call, the types, the layouts and the addresses, is made before the
loop over time.
"""

from collections.abc import Callable
from typing import Any

import cupy

from xpbptt.kernels import loops
from xpbptt.kernels.cuda.product import product, refuse_capture
from xpbptt.kernels.cuda.step import Step
from xpbptt.kernels.places import DM, DPROJECTED, PROJECTED, M
from xpbptt.kernels.programs import Task
from xpbptt.kernels.target import Buffers, HandBack, Kernel, Loop

# Chunks of inference, at most: what one makes is about as large as the whole output, and a longer
# sequence asks for no more launches.
PARTS = 8


def one_product(task: Task) -> None:
    """Refuse a cell with a projection, whose second product of a step is made here only."""
    if task.projection:
        message = "a projection is multiplied step by step"
        raise NotImplementedError(message)


def pack(gates: int, params: Any, steps: int) -> Any:  # noqa: ARG001 - the contract's
    """Return W_hh, contiguous; None where no gate has a product."""
    weight = params.weight_hh
    return None if isinstance(weight, tuple) else cupy.ascontiguousarray(weight)


def forward(kernel: Kernel, x: Any, params: Any, weight: Any, buffers: Buffers) -> None:
    """Run the steps in order; before each, multiply the state by the weights."""
    refuse_capture()
    steps, batch, inputs = x.shape
    u = cupy.reshape(x, (steps * batch, inputs)).dot(params.weight_ih.T)
    known = buffers | {"u": u.reshape(steps, batch, -1)}
    step: Any = kernel.run
    if weight is None:
        function, grid, block, arguments, words = step.launch(_given(kernel, known))
        for t in range(steps):
            words[0] = t
            function(grid, block, arguments)
        return
    weight_hr = _weight_hr(kernel, params)
    project = _projection(kernel, weight_hr, buffers, back=False)
    known["v"] = v = cupy.empty((batch, weight.shape[0]), dtype=u.dtype)
    function, grid, block, arguments, words = step.launch(_given(kernel, known))
    gemm, before, between, after = product(weight, batch, transposed=True)
    state, out = buffers[kernel.task.read], v.data.ptr
    row, size = state.data.ptr, state.strides[0]
    copied = bool(kernel.task.given)
    for t in range(steps):
        place = row
        if copied:
            chosen = loops.multiplied(kernel.task, buffers, t, state[t], xp=cupy)
            place = chosen.data.ptr
        gemm(*before, place, *between, out, *after)
        words[0] = t
        function(grid, block, arguments)
        project(t)
        row += size


def backward(kernel: Kernel, params: Any, buffers: Buffers, hand_back: HandBack) -> None:
    """Run the steps from the last to the first; after each, multiply what goes back."""
    refuse_capture()
    task = kernel.task
    record, carried = buffers[task.record], [buffers[name] for name in task.carried]
    returned = [buffers[name] for name in task.returned]
    for part in returned:
        part[...] = 0
    steps, batch, _ = record.shape
    step: Any = kernel.run
    function, grid, block, arguments, words = step.launch(_given(kernel, buffers))
    dv, size, out = record.data.ptr, record.strides[0], carried[0].data.ptr
    gemm: Any = None
    if task.recurrent:
        weight = cupy.ascontiguousarray(params.weight_hh)
        gemm, before, between, after = product(weight, batch, transposed=False)
    mask, clip, truncated = buffers.get("mask"), hand_back.clip, hand_back.truncate is not None
    weight_hr = _weight_hr(kernel, params)
    project = _projection(kernel, weight_hr, buffers, back=True)
    for t in range(steps - 1, -1, -1):
        project(t)
        words[0] = t
        function(grid, block, arguments)
        if gemm is not None:
            gemm(*before, dv + t * size, *between, out, *after)
            if task.drops:
                carried[0] *= buffers["factors"]
        if clip is not None:
            column = None if mask is None else mask[t, :, None]
            loops.clip_carried(task, carried, clip, column, xp=cupy)
        if returned:
            loops.restart(carried, buffers["reset"][t, :, None], returned, xp=cupy)
        if truncated and hand_back.cuts(t):
            for part in carried:
                part[...] = 0


def _weight_hr(kernel: Kernel, params: Any) -> Any:
    """Return W_hr, contiguous, which has to live as long as its address is used."""
    return cupy.ascontiguousarray(params.extra.weight_hr) if kernel.task.projection else None


def _projection(
    kernel: Kernel, weight: Any, buffers: Buffers, *, back: bool
) -> Callable[[int], None]:
    """Return what runs the projection of a step: its product, and its kernel around it."""
    task = kernel.task.projection
    if task is None:
        return _nothing
    run: Any = kernel.run
    function, grid, block, arguments, words = run.projection.launch(
        [buffers[name] for name in task.program.names]
    )
    batch = buffers[DM.name if back else M.name].shape[0]
    gemm, before, between, after = product(weight, batch, transposed=not back)

    def ahead(t: int) -> None:
        gemm(*before, buffers[M.name].data.ptr, *between, buffers[PROJECTED.name].data.ptr, *after)
        words[0] = t
        function(grid, block, arguments)

    def behind(t: int) -> None:
        words[0] = t
        function(grid, block, arguments)
        row = buffers[DPROJECTED.name][t]
        gemm(*before, row.data.ptr, *between, buffers[DM.name].data.ptr, *after)

    return behind if back else ahead


def _nothing(t: int) -> None:
    del t


def _given(kernel: Kernel, buffers: Buffers) -> list[Any]:
    return [buffers[name] for name in kernel.task.program.names]


STEPWISE = Loop("stepwise", Step, pack, forward, backward)
