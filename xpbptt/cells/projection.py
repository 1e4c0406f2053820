"""The projection of a cell: its output is a product of what the elementwise maths makes of it.

With P columns of output, h' = m W_hrᵀ, where m is what `forward` returns as the first part of the
state and W_hr (P, H) is a parameter. So h and its gradient have P columns, and the cell's
functions, which work on H, see neither.
"""

from typing import Any, NamedTuple

from xpbptt._arrays.once import once
from xpbptt.cells.cell import Cell
from xpbptt.cells.product import Absent, recurrent


class Projection(NamedTuple):
    """The weight W_hr (P, H) from the units to the output."""

    weight_hr: Any


def widths(cell: Cell, hidden_size: int) -> tuple[int, ...]:
    """Return the columns of each part of the state."""
    return (cell.projection, *(hidden_size for _ in cell.state._fields[1:]))


def seen(cell: Cell, state: Any) -> Any:
    """Return a state as the cell's functions are given it: without h where that is projected."""
    return cell.state(_hidden(cell), *state[1:]) if cell.projection else state


@once
def _hidden(cell: Cell) -> Absent:
    """Return what stands in place of h."""
    name = cell.state._fields[0]
    return Absent(
        f"the cell {cell.name} reads the part {name} of a state, which has `projection` = "
        f"{cell.projection} columns: only the product with W_hh may read it"
    )


def check(cell: Cell) -> None:
    """Refuse a projection that is no number of columns, or is of a cell that cannot have one.

    Raises
    ------
    TypeError, ValueError
        Where it is one.
    """
    columns: object = cell.projection
    if isinstance(columns, bool) or not isinstance(columns, int) or columns < 0:
        message = (
            f"`projection` of the cell {cell.name} must be an int of at least 0, got {columns!r}"
        )
        raise ValueError(message)
    if not columns:
        return
    first = cell.state._fields[0]
    wrong = {
        "`extra`": cell.extra is not None,
        "`side`": bool(cell.side),
        "`heads`": cell.heads != 1,
        "`recurrent` = ()": not recurrent(cell),
        f"`reads` = {cell.reads!r}": cell.reads not in {None, first},
    }
    for name, found in wrong.items():
        if found:
            message = f"the cell {cell.name} has a `projection`, and so cannot have {name}"
            raise ValueError(message)
