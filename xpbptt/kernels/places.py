"""The buffers that the programs of a cell read and write: their names, axes and blocks."""

from collections.abc import Iterable
from functools import partial

from xpbptt.cells.cell import Cell
from xpbptt.cells.product import read, recurrent
from xpbptt.kernels.program import Buffer
from xpbptt.kernels.symbols import Untraceable

STEP = "tbj"
MASK = Buffer("mask", "tb", logical=True)
RESET = Buffer("reset", "tb", logical=True)
FACTORS = Buffer("factors", "bj")
DOUTPUT = Buffer("dy", STEP)
PRODUCT = Buffer("dh", "bj", spent=True)
M = Buffer("m", "bj")  # what is projected, the product, and the gradients of both
PROJECTED = Buffer("projected", "bj", spent=True)
DPROJECTED = Buffer("dprojected", STEP)
DM = Buffer("dm", "bj", spent=True)
SIZE = 7919  # a hidden size that no other dimension of a cell's parameters is likely to have


def shaped(cell: Cell, buffers: Iterable[Buffer]) -> tuple[Buffer, ...]:
    """Return buffers as they are made: those of a projected output have the axis "p" of it."""
    if not cell.projection:
        return tuple(buffers)
    groups = (states, initial, partial(initial, gradient=True), every, gradients, arrivals)
    of_output = {PRODUCT, PROJECTED, DPROJECTED, *(group(cell)[0] for group in groups)}
    return tuple(
        each._replace(axes=each.axes.replace("j", "p")) if each in of_output else each
        for each in buffers
    )


def states(cell: Cell) -> list[Buffer]:
    """Return the buffers of the states."""
    return [Buffer(f"state_{name}", STEP) for name in cell.state._fields]


def initial(cell: Cell, *, gradient: bool = False) -> list[Buffer]:
    """Return the buffers of the state that a reset restores, or of its gradient."""
    letter = "d" if gradient else ""
    return [Buffer(f"{letter}initial_{name}", "bj") for name in cell.state._fields]


def zones(cell: Cell) -> list[Buffer]:
    """Return the buffers of where the parts of the state are left what they were."""
    return [Buffer(f"zone_{name}", STEP, logical=True) for name in cell.state._fields]


def every(cell: Cell) -> list[Buffer]:
    """Return the buffers of the gradient of the state after each step, given from outside."""
    return [Buffer(f"dstates_{name}", STEP) for name in cell.state._fields]


def followers(cell: Cell) -> list[Buffer]:
    """Return the buffers of the state after a step of a stream."""
    return [Buffer(f"new_{name}", "bj") for name in cell.state._fields]


def arguments(cell: Cell) -> tuple[str, ...]:
    """Return the arguments of the step of a stream: input, parameters, state before and after."""
    weights = ("weight_ih", "weight_hh") if recurrent(cell) else ("weight_ih",)
    own = ("weight_hr",) if cell.projection else tuple(each.name for each in extras(cell))
    state = (*states(cell), *followers(cell))
    return (
        *("x", *weights, *(each.name for each in biases(cell)), *own),
        *(each.name for each in state),
    )


def products(cell: Cell) -> tuple[Buffer, ...]:
    """Return the buffers of the products: of the input, and of the state if a gate has one."""
    u = Buffer("u", STEP, len(cell.gates._fields), spent=True)
    count = len(recurrent(cell))
    return (u, Buffer("v", "bj", count, spent=True)) if count else (u,)


def biases(cell: Cell) -> tuple[Buffer, ...]:
    """Return the buffers of the biases of the products."""
    names = {"u": "bias_ih", "v": "bias_hh"}
    return tuple(Buffer(names[each.name], "j", each.blocks) for each in products(cell))


def gradients(cell: Cell) -> list[Buffer]:
    """Return the buffers of the state's gradient without the product with W_hh."""
    return [Buffer(f"dstate_{name}", "bj") for name in cell.state._fields]


def carried(cell: Cell) -> tuple[Buffer, ...]:
    """Return the buffers of the state's gradient, those of the part that the product reads first.

    They are the product, if there is one, and the gradients without it.
    """
    parts = gradients(cell)
    if not recurrent(cell):
        return tuple(parts)
    first = parts.pop(read(cell))
    return (PRODUCT, first, *parts)


def arrivals(cell: Cell) -> list[Buffer]:
    """Return the buffers of the gradient that arrives at the state after each step."""
    return [Buffer(f"dnew_{name}", STEP) for name in cell.state._fields]


def side(cell: Cell, *, gradient: bool = False) -> list[Buffer]:
    """Return the buffers of the columns of the side input, or of their gradients."""
    letter = "d" if gradient else ""
    return [Buffer(f"{letter}side_{k}", "tb1") for k in range(cell.side)]


def extras(cell: Cell) -> list[Buffer]:
    """Return the buffers of the cell's own parameters."""
    if cell.extra is None:
        return []
    shapes = cell.extra(SIZE)  # noqa: S610 - not a query
    found = []
    for field, shape in zip(shapes._fields, shapes, strict=True):
        axes = "".join("j" if length == SIZE else "1" for length in shape)
        if axes not in {"", "1", "j", "11", "1j"} or {*shape} - {1, SIZE}:
            message = f"its own parameter `{field}` has a shape that (B, H) is not broadcast with"
            raise Untraceable(message)
        found.append(Buffer(f"extra_{field}", axes))
    return found


def dextras(cell: Cell, *, added: bool) -> list[Buffer]:
    """Return the buffers of their gradients for each sequence, of every step or added up."""
    rows = "b" if added else "tb"
    return [Buffer(f"d{each.name}", f"{rows}{each.axes}") for each in extras(cell)]
