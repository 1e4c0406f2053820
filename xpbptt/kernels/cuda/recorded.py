"""A graph of some steps: captured once for a program and its sizes, launched for any pass of them.

It knows neither T nor the addresses of a pass. Those are written to the device before the first
launch, see `nodes`; what cuBLAS reads and writes lies in memory of the graph's own.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import cupy
import numpy as np

from xpbptt._arrays.once import LOCK
from xpbptt.kernels.cuda.blas import Recorder, memory
from xpbptt.kernels.cuda.nodes import ADVANCE, BEGIN, NODE, NUMBERS
from xpbptt.kernels.cuda.product import product
from xpbptt.kernels.cuda.source import FORWARD
from xpbptt.kernels.cuda.step import grid
from xpbptt.kernels.programs import Task

STEPS = 32  # of a graph
ONE = (1, 1, 1), (1, 1, 1)  # block, thread


class Graph(NamedTuple):
    """A captured graph and its memory.

    Attributes
    ----------
    steps : cupy.cuda.Graph
        The graph.
    begin : cupy.cuda.Function
        Writes the structure that the nodes read.
    frame : MemoryPointer
        The structure.
    names : tuple of str
        The buffers of which it holds the addresses.
    weight, staged, out : array or None
        W_hh, what is multiplied by it, and the product; None in a program without a product.
    recorder : Recorder
        What the graphs of a device have in common.
    """

    steps: Any
    begin: Any
    frame: Any
    names: tuple[str, ...]
    weight: Any
    staged: Any
    out: Any
    recorder: Recorder

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Have what is asked of the current stream wait for the last use on any other stream."""
        with LOCK:
            stream = cupy.cuda.get_current_stream()
            stream.wait_event(self.recorder.done)
            try:
                yield
            finally:
                stream.record(self.recorder.done)

    def run(self, numbers: tuple[int, ...], buffers: Mapping[str, Any]) -> None:
        """Launch it as often as the steps take, given the `NUMBERS` after the first."""
        staged = 0 if self.staged is None else self.staged.data.ptr
        addresses = (buffers[name].data.ptr for name in self.names)
        self.begin(*ONE, (self.frame.ptr, _by_value(0, *numbers, staged, *addresses)))
        for _ in range(-(-numbers[0] // STEPS)):
            self.steps.launch()


def capture(
    task: Task, dtype: str, kernel: Callable[[str], Any], sizes: tuple[int, int], to: Recorder
) -> Graph:
    """Capture the steps of a program.

    Parameters
    ----------
    task : Task
        The program.
    dtype : str
        Its dtype.
    kernel : callable
        Returns the compiled kernel of `nodes` with this ending.
    sizes : tuple of int
        B and H.
    to : Recorder
        Where they are captured.
    """
    batch, hidden = sizes
    back, stream, names = task.kind not in FORWARD, to.stream, task.program.names
    node, advance, begin = map(kernel, (NODE, ADVANCE, BEGIN))
    zeros = _by_value(*[0] * (len(NUMBERS) + 1 + len(names)))
    frame = memory(zeros.nbytes)
    weight = staged = out = gemm = None
    given: tuple[Any, ...] = ()
    if task.recurrent:
        width = task.recurrent * hidden
        weight = _array((width, hidden), dtype)
        state, gates = _array((batch, hidden), dtype), _array((batch, width), dtype)
        staged, out = (gates, state) if back else (state, gates)
        gemm, before, between, after = product(weight, batch, transposed=not back, caller=to.caller)
        given = (*before, staged.data.ptr, *between, out.data.ptr, *after)

    def multiply() -> None:
        if gemm is not None:
            gemm(*given)

    blocks, threads = grid(task.program, batch, hidden)

    def nodes() -> None:
        for k in range(STEPS):
            if not back:
                multiply()
            node(blocks, threads, (frame.ptr, k), stream=stream)
            if back:
                multiply()
        advance(*ONE, (frame.ptr, STEPS), stream=stream)

    stream.wait_event(to.done)  # a graph may be at work in the same workspace
    begin(*ONE, (frame.ptr, zeros), stream=stream)
    nodes()  # of no steps: what CUDA and cuBLAS load on first use is not loaded during the capture
    stream.begin_capture()
    try:
        nodes()
    finally:
        graph = stream.end_capture()
    stream.record(to.done)
    return Graph(graph, begin, frame, names, weight, staged, out, to)


def _array(shape: tuple[int, ...], dtype: str) -> Any:
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return cupy.ndarray(shape, dtype, memptr=memory(size))


def _by_value(*numbers: int) -> Any:
    """Return numbers as a structure that CuPy passes by value."""
    frame = np.empty((), dtype=f"V{8 * len(numbers)}")
    np.frombuffer(frame, dtype=np.int64)[:] = numbers
    return frame
