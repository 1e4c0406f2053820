"""What the engine `scan` compiles: the passes over a segment as functions of arrays of JAX.

They compute what those of the engine `eager` do, with the steps inside ``jax.lax.scan``.
"""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from operator import add
from typing import Any, NamedTuple, cast

from xpbptt._arrays.norms import clip, norm
from xpbptt._arrays.tree import map_leaves
from xpbptt._arrays.types import AnyArray, Namespace, Tree
from xpbptt._arrays.wide import narrowed
from xpbptt.bptt.engines import resets, zones
from xpbptt.bptt.engines.masks import blank, columns, counted, held, taken
from xpbptt.bptt.engines.resets import Resets
from xpbptt.bptt.engines.segment import Inputs
from xpbptt.bptt.engines.sums import accumulate
from xpbptt.bptt.engines.trace import Trace, gate_norms
from xpbptt.bptt.layers.layer import Watch
from xpbptt.cells.recurrence import Recurrence

NAMESPACE = "jax.numpy"


class Given(NamedTuple):
    """What a pass is given beside input and state, in arrays; see `Inputs`."""

    mask: AnyArray | None = None
    resets: Resets | None = None
    factors: AnyArray | None = None
    zones: tuple[AnyArray | None, ...] = ()

    @classmethod
    def of(cls, inputs: Inputs, state: Tree, *, xp: Namespace) -> "Given":
        """Return what the inputs hold, for a state of that shape."""
        drawn = inputs.factors(state[0], xp=xp), inputs.zones(state, xp=xp)
        return cls(inputs.mask, inputs.resets, *drawn)

    @property
    def rows(self) -> tuple[Any, ...]:
        """The part of each step: the columns of mask and resets, and the zones."""
        again = None if self.resets is None else self.resets.where
        return columns(self.mask), columns(again), self.zones

    @property
    def noise(self) -> dict[str, AnyArray]:
        """What a step takes for recurrent dropout, by keyword."""
        return {} if self.factors is None else {"factors": self.factors}


def advance(
    of: Recurrence,
    parts: int,
    params: Tree,
    x: AnyArray,
    given: Given,
    state: Tree,
) -> tuple[tuple[AnyArray, ...], Tree]:
    """Return so many parts of the states after each step, and the last state."""
    run = partial(_forward, of, params, lambda state, _: tuple(state)[:parts])
    states, last = run(x, given, state)
    return states, last


def record(
    of: Recurrence,
    params: Tree,
    x: AnyArray,
    given: Given,
    state: Tree,
) -> tuple[tuple[AnyArray, ...], tuple[AnyArray, ...], Tree]:
    """Return the T + 1 states, the residuals of T steps, and the last state."""
    xp = import_module(NAMESPACE)
    run = partial(_forward, of, params, lambda state, residuals: (tuple(state), tuple(residuals)))
    (states, residuals), last = run(x, given, state)
    pairs = zip(state, states, strict=True)
    return tuple(xp.concat((first[None, ...], part)) for first, part in pairs), residuals, last


def _forward(
    of: Recurrence,
    params: Tree,
    kept: Callable[[Tree, Any], Tree],
    x: AnyArray,
    given: Given,
    state: Tree,
) -> tuple[Tree, Tree]:
    """Run over all steps; `kept` chooses what to stack of each state and its residuals."""
    xp, lax = import_module(NAMESPACE), import_module("jax").lax
    weights = of.prepare(params, 1, xp=xp)
    u = map_leaves(
        lambda part: xp.reshape(part, (*x.shape[:2], *part.shape[1:])),
        _projected(of, params, blank(x, given.mask, xp=xp), xp=xp),
    )

    def body(state: Tree, row: tuple[Any, ...]) -> tuple[Tree, Tree]:
        u, (column, again, zoned) = row
        if given.resets is not None:
            state = of.state(*resets.chosen(again, given.resets.initial, state, xp=xp))
        new, residuals = of.step(weights, u, state, xp=xp, **given.noise)
        if zoned:
            residuals = (*residuals, *new)
            new = zones.stayed(zoned, new, state, xp=xp)
        after = of.state(*held(column, new, state, xp=xp))
        return after, kept(after, residuals)

    last, stacked = lax.scan(body, state, (u, given.rows))
    return stacked, last


def _projected(of: Recurrence, params: Tree, x: AnyArray, *, xp: Namespace) -> Any:
    """Return the inputs of all steps as those of one step with T·B rows."""
    (u,) = of.project(params, xp.reshape(x, (1, -1, *x.shape[2:])), xp=xp)
    return u


def rewind(of: Recurrence, watch: Watch, rows: Tree) -> tuple[Any, ...]:
    """Return the gradients of parameters, input and first state, and the norms or None."""
    xp, lax = import_module(NAMESPACE), import_module("jax").lax
    params, x, given, states, residuals, dy, dstates, cuts, dstate = rows
    x, dy = blank(x, given.mask, xp=xp), blank(dy, given.mask, xp=xp)
    before = resets.starts(given.resets, tuple(part[:-1, ...] for part in states), xp=xp)
    after = tuple(part[1:, ...] for part in states)
    if residuals is None:
        residuals = _recomputed(of, params, x, before, given, xp=xp)

    def body(dstate: Tree, row: tuple[Any, ...]) -> tuple[Tree, Tree]:
        residuals, before, after, dy_t, more, cut, (column, again, zoned) = row
        if more is not None:
            dstate = of.state(*map(add, dstate, more))
        dnew = of.state(dstate[0] + dy_t, *dstate[1:])
        through = of.state(*taken(column, dnew, xp=xp))
        kept, made_of_it = residuals, of.state(*after)
        if zoned:
            kept, made_of_it = zones.apart(residuals, made_of_it, zoned)
            through, passing = zones.parted(zoned, through, xp=xp)
        around = of.state(*before), made_of_it, through
        made, dbefore = of.step_backward(params, kept, *around, xp=xp, **given.noise)
        if zoned:
            dbefore = of.state(*map(add, dbefore, passing))
        if watch.clip is not None:
            dbefore, _ = clip(list(dbefore), watch.clip, -1, xp=xp)
        dbefore, to_initial = of.state(*held(column, of.state(*dbefore), dnew, xp=xp)), None
        if again is not None:
            to_initial, dbefore = resets.parted(again, dbefore, xp=xp)
        if cut is not None:
            dbefore = [xp.where(cut, xp.zeros_like(part), part) for part in dbefore]
        norms = tuple(norm([part], xp=xp) for part in dnew) if watch.trace else ()
        return of.state(*dbefore), (tuple(made), norms, to_initial)

    steps = residuals, before, after, dy, dstates, cuts, given.rows
    dbefore, (records, norms, to_initial) = lax.scan(body, dstate, steps, reverse=True)
    if given.factors is not None:  # what W_hh read
        place = cast("int", of.drops)
        before = (*before[:place], before[place] * given.factors, *before[place + 1 :])
    records = counted(records, given.mask, xp=xp)
    dparams, dx = accumulate(of, watch, params, x, before, records, xp=xp)
    dparams = map_leaves(partial(narrowed, dtype=dy.dtype, xp=xp), dparams)
    of_state = Trace(of.state(*norms), gate_norms(of, records, xp=xp)) if watch.trace else None
    initial = map_leaves(partial(xp.sum, axis=0), to_initial)
    return dparams, dx, dbefore, of_state, initial


def _recomputed(
    of: Recurrence,
    params: Tree,
    x: AnyArray,
    before: tuple[AnyArray, ...],
    given: Given,
    *,
    xp: Namespace,
) -> tuple[AnyArray, ...]:
    """Return the residuals of steps whose states are known, in one step of T·B rows."""
    state = of.state(*(xp.reshape(part, (-1, *part.shape[2:])) for part in before))
    u = _projected(of, params, x, xp=xp)
    noise = {}
    if given.factors is not None:
        factors = xp.broadcast_to(given.factors, before[0].shape)
        noise["factors"] = xp.reshape(factors, state[0].shape)
    new, residuals = of.step(of.prepare(params, 1, xp=xp), u, state, xp=xp, **noise)
    if given.zones:
        residuals = (*residuals, *new)
    return tuple(xp.reshape(each, (*x.shape[:2], *each.shape[1:])) for each in residuals)


def step(of: Recurrence, params: Tree, x_t: AnyArray, state: Tree) -> Tree:
    """Return the state after one step."""
    xp = import_module(NAMESPACE)
    (u,) = of.project(params, x_t[None, ...], xp=xp)
    new, _ = of.step(of.prepare(params, 1, xp=xp), u, state, xp=xp)
    return of.state(*new)


# The arguments of each function that are no arrays.
STATIC: dict[Callable[..., Any], tuple[int, ...]] = {
    advance: (0, 1),
    record: (0,),
    rewind: (0, 1),
    step: (0,),
}
