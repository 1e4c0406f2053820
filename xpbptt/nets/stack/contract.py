"""The contract of a cell, checked by one small step before the cell is first used.

The step runs in the caller's library and dtype, with the net's H and a batch of 2 or 3. It
checks types, structure, shapes and dtypes, never values: nothing is read on the host, and the check
works under ``jax.jit``. `xpbptt.testing.check_gradients` checks the values.
"""

import logging
from functools import lru_cache
from itertools import count
from typing import Any, NamedTuple

import array_api_compat
import numpy as np
from array_api_compat import numpy as host

from xpbptt._arrays.check import Expected
from xpbptt._arrays.tree import map_leaves, map_shapes
from xpbptt._arrays.types import AnyArray, Namespace
from xpbptt._arrays.writes import unseen
from xpbptt.cells import BUILT_IN, Cell
from xpbptt.cells.gru_reset_before import GRU_RESET_BEFORE
from xpbptt.cells.product import read, recurrent, spread
from xpbptt.cells.projection import seen
from xpbptt.cells.recurrence import Recurrence
from xpbptt.nets.stack.promise import WriteError, array, call, named_tuple, tuple_of_rows, values

# Not checked here: the tests do so, and on a GPU the small step would compile a dozen kernels.
TESTED = frozenset({*BUILT_IN, GRU_RESET_BEFORE})

log = logging.getLogger("xpbptt")


class Sizes(NamedTuple):
    """The sizes I and H of a net, which are also those of the small step."""

    inputs: int
    hidden: int

    @property
    def batch(self) -> int:
        """Return B, which differs from H."""
        return 3 if self.hidden == 2 else 2  # noqa: PLR2004 - 1 would be broadcast


class Small:
    """The arrays of a small step, each filled with its own number, so no quotient is 0 / 0."""

    def __init__(self, sizes: Sizes, like: AnyArray, *, xp: Namespace) -> None:
        self.sizes, self.like, self.xp = sizes, like, xp
        self._numbers = count(1)

    def array(self, shape: tuple[int, ...]) -> AnyArray:
        """Return an array of that shape."""
        device = array_api_compat.device(self.like)
        number = next(self._numbers) / 16
        ones = self.xp.ones(shape, dtype=self.like.dtype, device=device)
        return self.xp.asarray(number * ones)  # a number times an array of no axes may be none

    def expected(self, kind: Any, widths: tuple[int, ...] = ()) -> Any:
        """Return the named tuple `kind` of expected shapes (B, H), or of other widths than H."""
        columns = widths or (self.sizes.hidden,) * len(kind._fields)
        return kind(*(Expected((self.sizes.batch, each), "(B, H)") for each in columns))

    def filled(self, kind: Any, widths: tuple[int, ...] = ()) -> Any:
        """Return the named tuple `kind` of arrays (B, H), or of other widths than H."""
        shapes = self.expected(kind, widths)
        return map_leaves(lambda expected: self.array(expected.shape), shapes)

    def rows(self, *lead: int) -> Expected:
        """Return the axes with which the shape of a residual or record begins."""
        meaning = "(T, B, …) with (T, B)" if lead else "(B, …) with (B,)"
        return Expected((*lead, self.sizes.batch), meaning)


def check(cell: Cell | Recurrence, input_size: int, hidden_size: int, like: AnyArray) -> None:
    """Refuse a time step that does not return what it must, or writes into its arguments.

    Parameters
    ----------
    cell : Cell or Recurrence
        The time step. One that has passed is not run again for the same sizes, library, dtype
        and device.
    input_size, hidden_size : int
        The sizes I and H.
    like : array
        An array of the library, dtype and device in question.

    Raises
    ------
    TypeError, ValueError
        If a function of the time step breaks the contract; the message names it.
    """
    xp = array_api_compat.array_namespace(like)
    if cell in TESTED or not xp.isdtype(like.dtype, "real floating"):
        return  # complex numbers come from a complex step, which goes forward only
    sizes, device = Sizes(input_size, hidden_size), array_api_compat.device(like)
    dtype = like.dtype
    if not getattr(dtype, "isnative", True):  # NumPy's operations return the machine's byte order
        dtype = dtype.newbyteorder("=")
    kind: Any = type(like)
    known = _passed(cell, sizes, kind, dtype)
    if str(device) not in known:  # CuPy's devices have no hash
        _check(cell, sizes, xp.ones((1,), dtype=dtype, device=device), xp=xp)
        known.add(str(device))


@lru_cache
def _passed(*_: Any) -> set[str]:
    """Return the set of devices on which a time step has passed; the caller adds to it."""
    return set()


def _check(cell: Cell | Recurrence, sizes: Sizes, like: AnyArray, *, xp: Namespace) -> None:
    with np.errstate(all="ignore"):  # the numbers mean nothing
        _run(cell, Small(sizes, like, xp=xp))
        if not unseen(like):
            return
        try:  # NumPy shows a write that this library hides
            _run(cell, Small(sizes, np.ones(1), xp=host))
        except WriteError:
            raise
        except Exception as error:  # noqa: BLE001 - it need not run on NumPy
            log.debug("%s could not be checked for writes into its arguments: %r", cell.name, error)


def _run(cell: Cell | Recurrence, small: Small) -> None:
    if isinstance(cell, Cell):
        _check_cell(cell, small)
        return
    _check_recurrence(cell, small)


def _check_cell(cell: Cell, small: Small) -> None:
    origin = f"`forward` of the cell {cell.name}"
    gates, state = small.expected(cell.gates), small.expected(cell.state)
    shapes = None if cell.extra is None else cell.extra(small.sizes.hidden)  # noqa: S610 - not a query
    own = {} if shapes is None else {"extra": map_shapes(small.array, shapes)}
    if cell.side:
        own["dt"] = tuple(small.array((small.sizes.batch, 1)) for _ in range(cell.side))
    before, dnew = seen(cell, small.filled(cell.state)), small.filled(cell.state)
    u, full = small.filled(cell.gates), small.filled(cell.gates)
    v = spread(cell, [full[place] for place in recurrent(cell)])

    given = {"u": u, "v": v, "state": before}
    try:
        returned = call(origin, cell.forward, given, xp=small.xp, **own)
    except TypeError as error:
        if cell.recurrent is not None:
            error.add_note(f"`v` has nothing for gates beside `recurrent` = {cell.recurrent!r}")
        raise
    new, residuals = values(origin, returned, ("the new state", "the residuals"))
    named_tuple(origin, "new", new, state, small.like)
    tuple_of_rows(origin, "residuals", residuals, small.rows(), small.like)

    origin = f"`backward` of the cell {cell.name}"
    given = {"residuals": tuple(residuals), "state": before, "new": seen(cell, new), "dnew": dnew}
    returned = call(origin, cell.backward, given, xp=small.xp, **own)
    names = ["du", "dv", "dstate", *(["dextra"] if shapes else []), *(["ddt"] if cell.side else [])]
    du, dv, dstate, *dextra = values(origin, returned, names)
    if cell.side:
        _check_side(origin, dextra.pop(), small, cell.side)
    named_tuple(origin, "du", du, gates, small.like)
    if recurrent(cell):
        named_tuple(origin, "dv", dv, gates, small.like, only=recurrent(cell))
    named_tuple(origin, "dstate", dstate, state, small.like, may_be_none=(0, read(cell)))
    if cell.projection and dstate[0] is not None:
        message = (
            f"{origin} must return None for the part {cell.state._fields[0]} of `dstate`, which "
            "the functions of a cell with a `projection` do not see"
        )
        raise TypeError(message)
    batch = small.sizes.batch
    for gradient in dextra:
        wanted = map_shapes(lambda shape: Expected((batch, *shape), "(B, *S)"), shapes)
        named_tuple(origin, "dextra", gradient, wanted, small.like)


def _check_side(origin: str, ddt: Any, small: Small, columns: int) -> None:
    """Refuse gradients of a side input that are not a tuple of arrays (B, 1)."""
    if not isinstance(ddt, (tuple, list)) or len(ddt) != columns:
        message = (
            f"{origin} must return `ddt` as a tuple of {columns} arrays (B, 1), got {ddt!r:.60}"
        )
        raise TypeError(message)
    for k, part in enumerate(ddt):
        array(origin, f"ddt[{k}]", part, Expected((small.sizes.batch, 1), "(B, 1)"), small.like)


def _check_recurrence(recurrence: Recurrence, small: Small) -> None:
    sizes, xp, like = small.sizes, small.xp, small.like

    def function(name: str) -> str:
        return f"`{name}` of the recurrence {recurrence.name}"

    shapes = recurrence.shapes(*sizes)
    params = map_shapes(small.array, shapes)
    x = small.array((1, sizes.batch, sizes.inputs + recurrence.side))
    widths = recurrence.parts(sizes.hidden)
    state = small.expected(recurrence.state, widths)
    before, dnew = (small.filled(recurrence.state, widths) for _ in range(2))

    given = {"params": params, "x": x}
    inputs = call(function("project"), recurrence.project, given, xp=xp)
    weights = recurrence.prepare(params, 1, xp=xp)
    given = {"weights": weights, "input": next(iter(inputs)), "state": before}
    returned = call(function("step"), recurrence.step, given, xp=xp)
    names = ("the new state", "the residuals")
    new, residuals = values(function("step"), returned, names)
    named_tuple(function("step"), "new", new, state, like)
    tuple_of_rows(function("step"), "residuals", residuals, small.rows(), like)

    origin = function("step_backward")
    given = {"params": params, "residuals": tuple(residuals), "state": before}
    given |= {"new": new, "dnew": dnew}
    returned = call(origin, recurrence.step_backward, given, xp=xp)
    record, dstate = values(origin, returned, ("the record", "dstate"))
    tuple_of_rows(origin, "record", record, small.rows(), like)
    named_tuple(origin, "dstate", dstate, state, like)

    origin = function("accumulate")
    states, records = (tuple(part[None, ...] for part in parts) for parts in (before, record))
    given = {"params": params, "x": x, "states": states, "records": records}
    returned = call(origin, recurrence.accumulate, given, xp=xp)
    dparams, dx = values(origin, returned, ("dparams", "dx"))
    wanted = map_shapes(lambda shape: Expected(shape, "the parameter's shape"), shapes)
    named_tuple(origin, "dparams", dparams, wanted, like)
    array(origin, "dx", dx, Expected(tuple(x.shape), "(T, B, I)"), like)
