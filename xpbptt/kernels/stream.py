"""One step of a stream: two products and one kernel, with as little around them as can be."""

from collections.abc import Callable
from typing import Any

from xpbptt._arrays.once import once
from xpbptt.cells.cell import Cell
from xpbptt.kernels import programs
from xpbptt.kernels.find import Kernel, build, compiler_of

Array = Any
Arrays = tuple[Array, ...]
Stream = Callable[[Any, Array, Arrays], Arrays]


def stream(cell: Cell, like: Array, *, xp: Any) -> Stream | None:
    """Return a function that computes one step of arrays like `like`.

    None is to run the cell as written.

    Returns
    -------
    step : callable
        ``step(params, x_t, state)`` returns the state after the step.
    """
    module = compiler_of(xp)
    return None if module is None else _stream(cell, module, like.dtype)


@once
def _stream(cell: Cell, module: str, dtype: Any) -> Stream | None:
    kernel = build(cell, "single", False, module, dtype)  # noqa: FBT003 - no mask
    return None if isinstance(kernel, str) else around(cell, kernel)


def around(cell: Cell, kernel: Kernel) -> Stream:
    """Return the step around a kernel."""
    run = kernel.single(kernel.run, kernel.names, programs.arguments(cell))
    empty, named = kernel.empty, cell.state

    def step(params: Any, x_t: Array, state: Arrays) -> Arrays:
        new: Arrays = named(*[empty(part.shape, part.dtype) for part in state])
        run(x_t, *params, *state, *new)
        return new

    def step_with_extra(params: Any, x_t: Array, state: Arrays) -> Arrays:
        *weights, extra = params
        return step((*weights, *extra), x_t, state)

    return step if cell.extra is None else step_with_extra
