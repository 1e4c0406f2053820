"""One step of a stream: two products and one kernel, with as little around them as can be."""

from collections.abc import Callable
from functools import cache
from operator import itemgetter
from typing import Any

from xpbptt.cells.cell import Cell
from xpbptt.kernels import cell as programs
from xpbptt.kernels.find import Kernel, find

Array = Any
Arrays = tuple[Array, ...]
Stream = Callable[[Any, Array, Arrays], Arrays]


def stream(cell: Cell, like: Array, *, xp: Any) -> Stream | None:
    """Return a function that computes one step of arrays like `like`.

    None is to run the cell as written.

    Returns
    -------
    step : callable
        ``step(params, x_t, state)`` returns the parts of the state after the step.
    """
    kernel = find(cell, "single", like, masked=False, xp=xp)
    return None if kernel is None else around(cell, kernel)


@cache
def around(cell: Cell, kernel: Kernel) -> Stream:
    """Return the step around a kernel."""
    biases = programs.biases(cell)
    buffers = (*biases, *programs.extras(cell), *programs.states(cell), *programs.followers(cell))
    places = [buffer.name for buffer in buffers]
    names = [name for name in kernel.names if name not in {"u", "v"}]
    order = itemgetter(*map(places.index, names), 0)  # one more, so that it is always a tuple
    run, empty = kernel.single(kernel.run, kernel.names), kernel.empty

    def step(params: Any, x_t: Array, state: Arrays) -> Arrays:
        own = () if cell.extra is None else params.extra
        new = tuple([empty(part.shape, part.dtype) for part in state])
        *given, _ = order((params.bias_ih, params.bias_hh, *own, *state, *new))
        run(x_t, params.weight_ih, state[0], params.weight_hh, *given)
        return new

    return step
