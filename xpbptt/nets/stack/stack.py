"""A net as data: the cell and the sizes, checked when they are put together."""

from dataclasses import dataclass, field, fields
from functools import cached_property
from numbers import Real
from typing import Any, cast

from xpbptt._arrays import check
from xpbptt.cells.cell import Cell
from xpbptt.cells.elementwise import recurrence
from xpbptt.cells.product import check as check_product
from xpbptt.cells.projection import check as check_projection
from xpbptt.cells.recurrence import Recurrence
from xpbptt.cells.zoneout import expected


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
    recurrent_dropout : float
        The share of the state that W_hh does not see, the same at every step of a sequence.
    zoneout : float or tuple of float
        The share of the state that a step leaves what it was, of all parts or of each.

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
    recurrent_dropout: float = field(default=0.0, kw_only=True)
    zoneout: float | tuple[float, ...] = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        """Refuse sizes that make no net."""
        if not isinstance(self.cell, (Cell, Recurrence)):
            message = f"`cell` must be a Cell or a Recurrence, got {type(self.cell).__name__}"
            raise TypeError(message)
        if isinstance(self.cell, Cell):
            check_product(self.cell)
            check_projection(self.cell)
        check.whole("input_size", self.input_size)
        check.whole("num_layers", self.num_layers)
        for name in ("input_size", "num_layers"):  # NumPy's integers overflow
            object.__setattr__(self, name, int(getattr(self, name)))
        self._set_sizes(self.hidden_size)
        self._check_heads()
        check.true_or_false("bidirectional", self.bidirectional)
        _rate("dropout", self.dropout)
        self._check_noise()
        if self.dropout and self.num_layers == 1:
            message = (
                f"`dropout` = {self.dropout} does nothing in {self}: it drops between layers; pass "
                "`num_layers` of at least 2, or no `dropout`"
            )
            check.warn(message)

    def _check_heads(self) -> None:
        """Refuse heads that do not divide the units."""
        heads, name = self.cell.heads, self.cell.name
        check.whole("heads", heads)
        if heads == 1:
            return
        if self.recurrence.drops is None:
            message = (
                f"`heads` = {heads} are of what W_hh reads, but {name} has no product with W_hh, "
                "or is a Recurrence without `drops`"
            )
            raise ValueError(message)
        for size in self.sizes:
            if size % heads:
                message = (
                    f"`hidden_size` = {size} must be a multiple of the {heads} heads of {name}"
                )
                raise ValueError(message)

    def _check_noise(self) -> None:
        """Refuse noise inside the loop that the cell cannot have; no zoneout at all is 0."""
        _rate("recurrent_dropout", self.recurrent_dropout)
        if self.recurrent_dropout and self.recurrence.drops is None:
            message = (
                f"`recurrent_dropout` = {self.recurrent_dropout} is of what W_hh reads, but "
                f"{self.cell.name} has no product with W_hh, or is a Recurrence without `drops`"
            )
            raise ValueError(message)
        if not isinstance(self.zoneout, (tuple, list)):
            _rate("zoneout", self.zoneout)
            return
        fields = self.recurrence.state._fields
        if len(self.zoneout) != len(fields):
            message = (
                f"`zoneout` = {self.zoneout} must have a rate for each part of the state of "
                f"{self.cell.name}: {', '.join(fields)}"
            )
            raise ValueError(message)
        for name, rate in zip(fields, self.zoneout, strict=True):
            _rate(f"zoneout of {name}", rate)
        rates = tuple(self.zoneout)
        object.__setattr__(self, "zoneout", rates[0] if len({*rates}) == 1 else rates)

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
        names = ("dropout", "recurrent_dropout", "zoneout")
        rates = "".join(f", {name}={getattr(self, name)}" for name in names if getattr(self, name))
        columns = f", proj_size={self.projection}" if self.projection else ""
        given = f"{self.input_size}, {self.hidden_size}{layers}{columns}{both}{rates}"
        return f"{self.cell.name}({given})"

    @property
    def projection(self) -> int:
        """The columns P that the output of a layer is projected to; 0 where it is not."""
        return getattr(self.cell, "projection", 0)

    @cached_property
    def _hash(self) -> int:
        return hash(tuple(getattr(self, each.name) for each in fields(self)))

    @cached_property
    def zones(self) -> tuple[float, ...]:
        """The rate of zoneout of each part of the state; empty where there is none."""
        rates = self.zoneout
        if not isinstance(rates, tuple):
            rates = (rates,) * len(self.recurrence.state._fields)
        return rates if any(rates) else ()

    @cached_property
    def draws(self) -> bool:
        """Whether `forward` draws anything, so that it needs a seed."""
        between = bool(self.dropout) and self.num_layers > 1
        return between or bool(self.recurrent_dropout) or bool(self.zones)

    @cached_property
    def average(self) -> Cell | Recurrence:
        """The time step where nothing is drawn: that with the expectation of zoneout."""
        return cast("Cell | Recurrence", expected(self.cell, self.zones))

    @cached_property
    def recurrence(self) -> Recurrence:
        """The time step as the loop knows it."""
        return recurrence(self.cell) if isinstance(self.cell, Cell) else self.cell

    @cached_property
    def heads(self) -> int:
        """The number of heads of the cell."""
        return self.cell.heads

    @cached_property
    def one_head(self) -> Cell | Recurrence:
        """The time step with the whole matrix W_hh, as the layers run it."""
        return self.cell if self.heads == 1 else self.cell._replace(heads=1)

    def shapes(self, input_size: int, hidden_size: int) -> Any:
        """Return the shapes of the parameters of a layer, of W_hh those of the heads."""
        shapes: Any = self.recurrence.shapes(input_size, hidden_size)
        if self.heads == 1:
            return shapes
        rows, columns = shapes.weight_hh
        return shapes._replace(weight_hh=(rows, columns // self.heads))

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """The hidden size of each layer, the lowest first."""
        size = self.hidden_size
        return (size,) * self.num_layers if isinstance(size, int) else size

    @cached_property
    def output_size(self) -> int:
        """The columns D·H of the output."""
        return self.directions * self.recurrence.parts(self.sizes[-1])[0]

    @cached_property
    def directions(self) -> int:
        """The number of directions D."""
        return 2 if self.bidirectional else 1


def _rate(name: str, rate: object) -> None:
    """Refuse what is no probability below 1."""
    if isinstance(rate, bool) or not isinstance(rate, Real):
        message = f"`{name}` must be a number, got {rate!r}"
        raise TypeError(message)
    if not 0 <= float(rate) < 1:
        message = f"`{name}` must be from 0 to below 1, got {rate}"
        raise ValueError(message)
