"""A net as data: the cell and the sizes, checked when they are put together."""

from dataclasses import dataclass, field, fields
from functools import cached_property
from numbers import Real
from typing import Any

from xpbptt._arrays import check
from xpbptt.cells.cell import Cell
from xpbptt.cells.elementwise import recurrence
from xpbptt.cells.recurrence import Recurrence


@dataclass(frozen=True, repr=False)
class Stack:
    """A cell in layers and directions, as a value: it can be compared, hashed and pickled.

    Parameters
    ----------
    cell : Cell or Recurrence
        The time step: the elementwise maths of a cell, or the wider contract.
    input_size : int
        The size I.
    hidden_size : int or tuple of int
        The size H, or that of each layer, the lowest first.
    num_layers : int
        The number of layers. Default: one, or as many as there are sizes.
    bidirectional : bool
        Whether every layer also runs from the last step to the first.
    dropout : float
        The share of each layer's output that is dropped before the layer above.

    Raises
    ------
    TypeError, ValueError
        Where a size is not an int or is below 1, the sizes are not one for each layer, or `dropout`
        is not from 0 to below 1.

    Warns
    -----
    UserWarning
        Where there is `dropout` and only one layer, so that nothing is dropped.
    """

    cell: Cell | Recurrence
    input_size: int
    hidden_size: int | tuple[int, ...]
    num_layers: int = 1
    bidirectional: bool = field(default=False, kw_only=True)
    dropout: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        """Refuse sizes that make no net."""
        if not isinstance(self.cell, (Cell, Recurrence)):
            message = f"`cell` must be a Cell or a Recurrence, got {type(self.cell).__name__}"
            raise TypeError(message)
        check.whole("input_size", self.input_size)
        check.whole("num_layers", self.num_layers)
        for name in ("input_size", "num_layers"):  # NumPy's integers overflow
            object.__setattr__(self, name, int(getattr(self, name)))
        self._set_sizes(self.hidden_size)
        check.true_or_false("bidirectional", self.bidirectional)
        if isinstance(self.dropout, bool) or not isinstance(self.dropout, Real):
            message = f"`dropout` must be a number, got {self.dropout!r}"
            raise TypeError(message)
        if not 0 <= float(self.dropout) < 1:
            message = f"`dropout` must be from 0 to below 1, got {self.dropout}"
            raise ValueError(message)
        if self.dropout and self.num_layers == 1:
            message = (
                f"`dropout` = {self.dropout} does nothing in {self}: it drops between layers; pass "
                "`num_layers` of at least 2, or no `dropout`"
            )
            check.warn(message)

    def _set_sizes(self, given: object) -> None:
        """Take one size, or one for each layer; equal sizes are one."""
        if not isinstance(given, (tuple, list)):
            check.whole("hidden_size", given)
            object.__setattr__(self, "hidden_size", int(given))  # type: ignore[call-overload]
            return
        for k, size in enumerate(given):
            check.whole(f"hidden_size[{k}]", size)
        if not given or self.num_layers not in {1, len(given)}:
            message = (
                f"`hidden_size` = {tuple(given)} has {len(given)} sizes, but `num_layers` is "
                f"{self.num_layers}: give one size, or one for each layer"
            )
            raise ValueError(message)
        sizes = tuple(map(int, given))
        object.__setattr__(self, "num_layers", len(sizes))
        object.__setattr__(self, "hidden_size", sizes[0] if len({*sizes}) == 1 else sizes)

    def __hash__(self) -> int:
        """Hash the fields, once."""
        return self._hash

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields: what is derived is made anew, and the hash of a process is its own."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def __repr__(self) -> str:
        """Return the name of the cell and the sizes, as in the call that makes this net."""
        several = self.num_layers > 1 and isinstance(self.hidden_size, int)
        layers = f", num_layers={self.num_layers}" if several else ""
        both = ", bidirectional=True" if self.bidirectional else ""
        dropout = f", dropout={self.dropout}" if self.dropout else ""
        return f"{self.cell.name}({self.input_size}, {self.hidden_size}{layers}{both}{dropout})"

    @cached_property
    def _hash(self) -> int:
        return hash(tuple(getattr(self, each.name) for each in fields(self)))

    @cached_property
    def recurrence(self) -> Recurrence:
        """The time step as the loop knows it."""
        return recurrence(self.cell) if isinstance(self.cell, Cell) else self.cell

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """The hidden size of each layer, the lowest first."""
        size = self.hidden_size
        return (size,) * self.num_layers if isinstance(size, int) else size

    @cached_property
    def output_size(self) -> int:
        """The columns D·H of the output."""
        return self.directions * self.sizes[-1]

    @cached_property
    def directions(self) -> int:
        """The number of directions D."""
        return 2 if self.bidirectional else 1
