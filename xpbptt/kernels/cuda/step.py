"""One step as a kernel: a program for the B·H elements of a step, launched without a detour.

The kernel takes one argument, a structure of the number of the step, the sizes and the addresses of
whole buffers. It is filled in once a pass, and for each step only the number changes: a launch is
then one call of `cupy.cuda.function.Function`.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import cupy
import numpy as np

from xpbptt._arrays.tree import map_leaves
from xpbptt.kernels import loops
from xpbptt.kernels.cuda import rows
from xpbptt.kernels.cuda.source import PREAMBLE, Entry, element, header, language, stored
from xpbptt.kernels.emit import lines
from xpbptt.kernels.program import Program
from xpbptt.kernels.programs import Task
from xpbptt.kernels.target import Kernel

THREADS = 128  # of a block
Size3 = tuple[int, int, int]
BY_VALUE = Entry(
    fields=tuple(f"long long {each};" for each in ("t", "batch", "size")),
    parameters="const Frame frame",
    begin="const long long t = frame.t;",
    load=element,
    store=lambda access, value: f"{element(access)} = {value};",
)


class Launch(NamedTuple):
    """A kernel with its arguments: ``words[0] = t; function(grid, block, arguments)`` is a step."""

    function: Any
    grid: Size3
    block: Size3
    arguments: tuple[Any]
    words: Any


class Step:
    """A compiled program: ``step(t, *buffers)`` computes step t of C-contiguous buffers."""

    def __init__(self, task: Task, dtype: str) -> None:
        read, written = task.program.buffers()
        buffers = [*read, *written]
        self.place, self.sized = next(
            (k, buffer) for k, buffer in enumerate(buffers) if "bj" in buffer.axes
        )
        self.program, name = task.program, f"xpbptt_{task.program.name}"
        self.kernel = cupy.RawKernel(source(task.program, dtype, name), name)
        self.projection = Step(task.projection, dtype) if task.projection else None
        self.kernel.kernel  # noqa: B018 - compiles it, here where its failure is seen

    def __call__(self, t: int, *arrays: Any) -> None:
        """Compute one step."""
        function, grid, block, arguments, words = self.launch(arrays)
        words[0] = t
        function(grid, block, arguments)

    def launch(self, arrays: Sequence[Any]) -> Launch:
        """Return the launch for the arrays of a pass, which have to live as long as it is used."""
        shape = arrays[self.place].shape
        batch = shape[self.sized.axes.index("b")]
        size = shape[self.sized.axes.index("j")] // self.sized.blocks
        numbers = [0, batch, size, *(array.data.ptr for array in arrays)]
        frame = np.empty((), dtype=f"V{8 * len(numbers)}")  # what CuPy passes by value
        words = np.frombuffer(frame, dtype=np.int64)
        words[:] = numbers
        return Launch(self.kernel.kernel, *grid(self.program, batch, size), (frame,), words)


def grid(program: Program, batch: int, size: int) -> tuple[Size3, Size3]:
    """Return the blocks of the kernel of a step, and the threads of a block."""
    if program.sums:
        return (batch, 1, 1), (rows.THREADS, 1, 1)
    return (-(-batch * size // THREADS), 1, 1), (THREADS, 1, 1)


def source(program: Program, dtype: str, name: str, entry: Entry = BY_VALUE) -> str:
    """Return the kernel."""
    read, written = program.buffers()
    fields = [*entry.fields]
    fields += [f"const {stored(buffer, dtype)}* {buffer.name};" for buffer in read]
    fields += [f"{stored(buffer, dtype)}* {buffer.name};" for buffer in written]
    frame = f"struct Frame {{ {' '.join(fields)} }};"
    if program.sums:
        return rows.source(program, dtype, name, entry, frame)
    body = "\n  ".join(lines(program, language(dtype, entry.load, entry.store)))
    return f"""{header(dtype)}{PREAMBLE}
{frame}
extern "C" __global__ void __launch_bounds__({THREADS}) {name}({entry.parameters}) {{
  {entry.begin}
  const long long batch = frame.batch, size = frame.size;
  const long long i = (long long)blockIdx.x * {THREADS} + threadIdx.x;
  if (i >= batch * size) return;
  const long long b = i / size;
  const long long j = i - b * size;
  {body}
}}
"""


def single(kernel: Kernel, given: tuple[str, ...]) -> Callable[..., None]:
    """Return the step of a stream, see `loops`."""
    step = loops.single(kernel, given)

    def plain(x_t: Any, params: Any, state: Any, new: Any) -> None:
        return step(*map_leaves(cupy.ascontiguousarray, (x_t, params, state, new)))

    return plain
