"""The engine `scan`, for arrays of JAX: the cell inside ``jax.lax.scan``, compiled for all steps.

The functions compute what those of the engine `eager` do. They are compiled once for each cell and
shape, and take their place in the caller's program where ``jax.jit`` or ``jax.vmap`` is tracing it.
"""

import logging
from collections.abc import Callable, Sequence
from functools import cache, partial
from importlib import import_module
from operator import add
from typing import Any, NamedTuple, cast

from xpbptt._arrays.norms import clip, norm
from xpbptt._arrays.once import once
from xpbptt._arrays.tree import leaves, map_leaves, map_shapes
from xpbptt._arrays.types import AnyArray, Namespace, Tree
from xpbptt._arrays.wide import narrowed
from xpbptt.bptt.engines import resets, zones
from xpbptt.bptt.engines.chunks import chunks
from xpbptt.bptt.engines.masks import blank, columns, counted, held, taken
from xpbptt.bptt.engines.resets import Resets
from xpbptt.bptt.engines.segment import Back, Inputs, Rewound, Segment
from xpbptt.bptt.engines.sums import accumulate
from xpbptt.bptt.engines.tape import Tape
from xpbptt.bptt.engines.trace import Trace, gate_norms
from xpbptt.bptt.layers.layer import Watch
from xpbptt.cells.recurrence import Recurrence

NAMESPACE = "jax.numpy"
SOME = 4  # hidden units
LONG = 32  # steps from which on it pays to compile, which takes most of a second for each shape

log = logging.getLogger("xpbptt")


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


def pays(params: Tree, x: AnyArray) -> bool:
    """Tell whether to compile: a long sequence, a step of a stream, or a program being traced."""
    steps, *_ = x.shape
    if len(x.shape) == 2 or steps >= LONG:  # noqa: PLR2004 - (B, I) of a step
        return True
    tracer = import_module("jax").core.Tracer
    return any(isinstance(leaf, tracer) for _, leaf in leaves((params, x)))


def width(params: Tree) -> int:
    """Return the hidden units H, or some number where the parameters do not tell."""
    weight = getattr(params, "weight_hh", ())
    return SOME if isinstance(weight, tuple) else int(weight.shape[1])


@once
def refusal(of: Recurrence, inputs: int, hidden: int, dtype: Any) -> str:
    """Return why JAX cannot trace a recurrence, or an empty string; it is also logged, once.

    Both passes are traced on arrays without numbers, for two steps of two sequences.
    """
    jax = import_module("jax")

    def zeros(*shape: int) -> AnyArray:
        return jax.ShapeDtypeStruct(shape, dtype)

    params = map_shapes(lambda shape: zeros(*shape), of.shapes(inputs - of.side, hidden))
    state = of.state(*(zeros(2, columns) for columns in of.parts(hidden)))

    def both(params: Tree, x: AnyArray, state: Tree) -> Any:
        states, residuals, last = _record(of, params, x, Given(), state)
        if not jax.numpy.isdtype(dtype, "real floating"):
            return last  # a complex step goes forward only
        rows = params, x, Given(), states, residuals, states[0][1:, ...], None, None, last
        return _rewind(of, Watch(), rows)

    try:
        jax.eval_shape(both, params, zeros(2, 2, inputs), state)
    except Exception as error:  # noqa: BLE001 - a cell's own code may raise anything on tracers
        first, _, _ = str(error).strip().partition("\n")
        reason = f"tracing raised {type(error).__name__}: {first}"
        log.warning("%s is not compiled but runs eagerly, slower: %s", of.name, reason)
        return reason
    return ""


def prepare(of: Recurrence, params: Tree, steps: int, *, xp: Namespace) -> None:
    """Prepare nothing: the compiled functions do so themselves; see `Engine`."""


def advance(
    of: Recurrence,
    inputs: Inputs,
    marks: Sequence[int],
    state: Tree,
    outputs: Tape | None,
    most: int,
    *,
    xp: Namespace,
) -> tuple[list[Tree], Tree]:
    """Run forward; see `Engine`."""
    snapshots = []
    parts = len(state) if marks else 0 if outputs is None else outputs.parts
    for steps in chunks(inputs.x.shape[0], most):
        one = inputs.part(steps)
        given = Given.of(one, state, xp=xp)
        arguments = one.params, one.x, given, of.state(*state)
        states, last = _compiled(_advance)(of, parts, *arguments)
        for t in marks:
            if t == steps.start:
                snapshots.append(of.state(*state))
            elif steps.start < t < steps.stop:
                row = t - steps.start - 1
                snapshots.append(of.state(*(part[row, ...] for part in states)))
        if outputs is not None:
            outputs.put(steps.start + 1, states[: outputs.parts])
        state = last
    return snapshots, of.state(*state)


def record(
    of: Recurrence,
    inputs: Inputs,
    state: Tree,
    *,
    xp: Namespace,
) -> tuple[Segment, Tree]:
    """Run forward and keep everything; see `Engine`."""
    given = Given.of(inputs, state, xp=xp)
    arguments = inputs.params, inputs.x, given, of.state(*state)
    states, residuals, last = _compiled(_record)(of, *arguments)
    return Segment(states, residuals), last


def rewind(
    of: Recurrence,
    inputs: Inputs,
    segment: Segment,
    back: Back,
    dstate: Tree,
    *,
    xp: Namespace,
) -> Rewound:
    """Go back over a segment; see `Engine`."""
    params, x, given = inputs.params, inputs.x, Given.of(inputs, dstate, xp=xp)
    cuts = None
    if back.hand_back.truncate is not None:
        cuts = xp.asarray([back.hand_back.cuts(t) for t in range(x.shape[0])])
    upstream = back.dy, back.dstates, cuts, of.state(*dstate)
    rows = (params, x, given, *segment, *upstream)
    return Rewound(*_compiled(_rewind)(of, back.watch, rows))


def step(
    of: Recurrence,
    params: Tree,
    x_t: AnyArray,
    state: Tree,
    *,
    xp: Namespace,  # noqa: ARG001 - the contract's
) -> Tree:
    """Advance by one step; see `Engine`."""
    return _compiled(_step)(of, params, x_t, of.state(*state))


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of this file, compiled by JAX for each value of its static arguments."""
    static = {_advance: (0, 1), _record: (0,), _rewind: (0, 1), _step: (0,)}
    compiled: Callable[..., Any] = import_module("jax").jit(
        function, static_argnums=static[function]
    )
    return compiled


def _advance(
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


def _record(
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


def _rewind(of: Recurrence, watch: Watch, rows: Tree) -> tuple[Any, ...]:
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


def _step(of: Recurrence, params: Tree, x_t: AnyArray, state: Tree) -> Tree:
    """Return the state after one step."""
    xp = import_module(NAMESPACE)
    (u,) = of.project(params, x_t[None, ...], xp=xp)
    new, _ = of.step(of.prepare(params, 1, xp=xp), u, state, xp=xp)
    return of.state(*new)
