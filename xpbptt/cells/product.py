"""Which gates of a cell get the product with W_hh, and which part of the state it reads."""

from collections.abc import Sequence
from typing import Any, NoReturn

from xpbptt._arrays.once import once
from xpbptt.cells.cell import Cell


class Absent:
    """What stands in place of an array that a cell has no use of: any use of it is refused.

    Parameters
    ----------
    message : str
        Why it cannot be used.
    """

    __slots__ = ("_message",)

    def __init__(self, message: str) -> None:
        self._message = message

    def refuse(self, *_: Any, **__: Any) -> NoReturn:
        """Say why it cannot be used."""
        raise TypeError(self._message)

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = refuse
    __truediv__ = __rtruediv__ = __pow__ = __rpow__ = __matmul__ = __rmatmul__ = refuse
    __neg__ = __pos__ = __abs__ = __lt__ = __le__ = __gt__ = __ge__ = refuse
    __float__ = __bool__ = __len__ = __iter__ = __getitem__ = refuse
    __array_ufunc__ = __array_function__ = __torch_function__ = refuse


@once
def recurrent(cell: Cell) -> tuple[int, ...]:
    """Return the places of the gates that get the product, in the order of the weights' rows."""
    check(cell)
    fields = cell.gates._fields
    named = fields if cell.recurrent is None else cell.recurrent
    return tuple(k for k, name in enumerate(fields) if name in named)


@once
def read(cell: Cell) -> int:
    """Return the place of the part of the state that the product reads."""
    check(cell)
    return 0 if cell.reads is None else int(cell.state._fields.index(cell.reads))


@once
def _absent(cell: Cell) -> tuple[Any, ...]:
    """Return what stands in v for each gate where it has no product."""
    known = tuple(cell.gates._fields[k] for k in recurrent(cell))
    return tuple(
        Absent(
            f"the cell {cell.name} reads `v.{gate}`, but `recurrent` = {known!r} gives the gate "
            f"{gate} no product with the state: name it there, or read `u.{gate}` alone"
        )
        for gate in cell.gates._fields
    )


def spread(cell: Cell, parts: Sequence[Any]) -> Any:
    """Return v: the state's parts of the gates that have a product, in the cell's named tuple."""
    places = recurrent(cell)
    if len(places) == len(cell.gates._fields):
        return cell.gates(*parts)
    gates = list(_absent(cell))
    for place, part in zip(places, parts, strict=True):
        gates[place] = part
    return cell.gates(*gates)


def taken(cell: Cell, dv: Any) -> tuple[Any, ...]:
    """Return what of `dv` belongs to gates with a product; other fields may hold anything."""
    return tuple(dv[place] for place in recurrent(cell))


def shared(cell: Cell, du: Any, dv: Any) -> bool:
    """Tell whether `dv` is kept as a part of `du`: the same gates, or none at all."""
    places = recurrent(cell)
    return not places or (du is dv and len(places) == len(cell.gates._fields))


def check(cell: Cell) -> None:
    """Refuse a `recurrent` that names no gates of the cell, and a `reads` that names no part.

    Raises
    ------
    TypeError, ValueError
        Where `recurrent` is not a tuple of different names of gates, or `reads` no name of a part.
    """
    gates, parts = cell.gates._fields, cell.state._fields
    if cell.recurrent is not None:
        if not isinstance(cell.recurrent, tuple):
            message = (
                f"`recurrent` of the cell {cell.name} must be a tuple of names of gates or None, "
                f"got {cell.recurrent!r}"
            )
            raise TypeError(message)
        for name in cell.recurrent:
            if name not in gates:
                message = (
                    f"`recurrent` of the cell {cell.name} names the gate {name!r}, but its gates "
                    f"are {' '.join(gates)}"
                )
                raise ValueError(message)
        if len(set(cell.recurrent)) < len(cell.recurrent):
            message = f"`recurrent` of the cell {cell.name} names a gate twice: {cell.recurrent!r}"
            raise ValueError(message)
    if cell.reads is not None and cell.reads not in parts:
        message = (
            f"`reads` of the cell {cell.name} must name a part of its state, {' '.join(parts)}, "
            f"got {cell.reads!r}"
        )
        raise ValueError(message)
