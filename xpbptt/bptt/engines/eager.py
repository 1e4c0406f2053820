"""The engine `eager`: the cell's own functions, step by step, on any library.

The recurrence is given copies of the caller's states and of their gradients: a write into one of
them, which the check of its contract may not have seen, stays here.
"""

from collections.abc import Sequence
from functools import partial
from operator import add
from typing import Any

from xpbptt._arrays.norms import clip, norm
from xpbptt._arrays.tree import copied, map_leaves
from xpbptt._arrays.types import AnyArray, Arrays, Namespace, Tree
from xpbptt._arrays.wide import narrowed
from xpbptt._arrays.writes import unseen
from xpbptt.bptt.engines import resets, zones
from xpbptt.bptt.engines.chunks import chunks
from xpbptt.bptt.engines.masks import blank, columns, counted, held, taken
from xpbptt.bptt.engines.segment import Back, Inputs, Rewound, Segment
from xpbptt.bptt.engines.sums import accumulate
from xpbptt.bptt.engines.tape import Tape, at
from xpbptt.bptt.engines.trace import Trace, gate_norms
from xpbptt.cells.recurrence import Recurrence


def prepare(recurrence: Recurrence, params: Tree, steps: int, *, xp: Namespace) -> Any:
    """Return the form of the parameters that the steps forward read; see `Engine`."""
    return recurrence.prepare(params, steps, xp=xp)


def advance(
    recurrence: Recurrence,
    inputs: Inputs,
    marks: Sequence[int],
    state: Tree,
    outputs: Tape | None,
    most: int,
    *,
    xp: Namespace,
) -> tuple[list[Tree], Tree]:
    """Run forward; see `Engine`."""
    weights, wanted, snapshots = inputs.weights, frozenset(marks), []
    state, noise = recurrence.state(*copied(state, xp=xp)), _noise(inputs, state, xp=xp)
    for steps in chunks(inputs.x.shape[0], most):
        one = inputs.part(steps)
        keep, zoned = columns(one.mask), one.zones(state, xp=xp)
        projected = recurrence.project(one.params, blank(one.x, one.mask, xp=xp), xp=xp)
        for t, u in enumerate(projected):
            if steps.start + t in wanted:
                snapshots.append(state)
            state = resets.start(one.resets, t, state, xp=xp)
            new, _ = recurrence.step(weights, u, state, xp=xp, **noise)
            new = zones.stayed(zones.at(zoned, t), new, state, xp=xp)
            state = new if keep is None else held(keep[t, ...], new, state, xp=xp)
            if outputs is not None:
                outputs.write(steps.start + t + 1, state[: outputs.parts])
        del projected, u  # or they are still there when the next ones are made
        state = recurrence.state(*copied(state, xp=xp))
    return snapshots, state


def _noise(inputs: Inputs, state: Tree, *, xp: Namespace) -> dict[str, AnyArray]:
    """Return what a step takes for recurrent dropout, by keyword."""
    factors = inputs.factors(state[0], xp=xp)
    return {} if factors is None else {"factors": factors}


def record(
    recurrence: Recurrence, inputs: Inputs, state: Tree, *, xp: Namespace
) -> tuple[Segment, Tree]:
    """Run forward and keep everything; see `Engine`."""
    x, mask, state = inputs.x, inputs.mask, copied(state, xp=xp)
    noise, zoned = _noise(inputs, state, xp=xp), inputs.zones(state, xp=xp)
    length, keep = x.shape[0], columns(mask)
    states, residuals = Tape.starting(state, length + 1, xp=xp), Tape(length, xp=xp)
    for t, u in enumerate(recurrence.project(inputs.params, blank(x, mask, xp=xp), xp=xp)):
        state = resets.start(inputs.resets, t, state, xp=xp)
        new, kept = recurrence.step(inputs.weights, u, state, xp=xp, **noise)
        if zoned:
            kept = (*kept, *new)
            new = zones.stayed(zones.at(zoned, t), new, state, xp=xp)
        state = new if keep is None else held(keep[t, ...], new, state, xp=xp)
        states.write(t + 1, state)
        residuals.write(t, kept)
    kept = Segment(states.stacked(), residuals.stacked())
    return kept, recurrence.state(*copied(state, xp=xp))


def rewind(
    recurrence: Recurrence,
    inputs: Inputs,
    segment: Segment,
    back: Back,
    dstate: Tree,
    *,
    xp: Namespace,
) -> Rewound:
    """Go back over a segment; see `Engine`."""
    params, x, mask, dstate = inputs.params, inputs.x, inputs.mask, copied(dstate, xp=xp)
    noise, zoned = _noise(inputs, dstate, xp=xp), inputs.zones(dstate, xp=xp)
    length, states, keep, reset = x.shape[0], segment.states, columns(mask), inputs.resets
    x = blank(x, mask, xp=xp)
    before_each = resets.starts(reset, tuple(part[:length, ...] for part in states), xp=xp)
    initial = None if reset is None else map_leaves(xp.zeros_like, dstate)
    residuals = segment.residuals
    if residuals is None:
        residuals = recompute(recurrence, inputs._replace(x=x), before_each, xp=xp)
    dy = blank(back.dy, mask, xp=xp)
    records, norms = Tape(length, xp=xp), Tape(length, xp=xp)
    after = recurrence.state(*at(states, length))
    for t in reversed(range(length)):
        last = recurrence.state(*at(states, t))
        before = resets.start(reset, t, last, xp=xp)
        if back.dstates is not None:
            dstate = map(add, dstate, (part[t, ...] for part in back.dstates))
        dh, *drest = dstate
        dnew = recurrence.state(dh + dy[t, ...], *drest)
        column = None if keep is None else keep[t, ...]
        around = before, after, taken(column, dnew, xp=xp)
        made, dbefore = _step_back(
            recurrence, params, at(residuals, t), around, zones.at(zoned, t), noise, xp=xp
        )
        records.write(t, counted(made, None if mask is None else mask[t, ...], xp=xp))
        if back.watch.trace:
            norms.write(t, tuple(norm([part], xp=xp) for part in dnew))
        if back.watch.clip is not None:
            parts, _ = clip(list(dbefore), back.watch.clip, -1, xp=xp)
            dbefore = recurrence.state(*parts)
        dstate = held(column, dbefore, dnew, xp=xp)
        if reset is not None:
            to_initial, dstate = resets.parted(reset.where[t, :, None], dstate, xp=xp)
            initial = map_leaves(add, initial, to_initial)
        if back.hand_back.cuts(t):
            dstate = recurrence.state(*(xp.zeros_like(part) for part in dstate))
        after = last
    before_each = inputs.multiplied(recurrence, before_each, xp=xp)
    every = records.stacked()
    dparams, dx = accumulate(recurrence, back.watch, params, x, before_each, every, xp=xp)
    dparams = map_leaves(partial(narrowed, dtype=dy.dtype, xp=xp), dparams)  # no scalars
    trace = None
    if back.watch.trace:
        gates = gate_norms(recurrence, every, xp=xp)
        trace = Trace(recurrence.state(*norms.stacked()), gates)
    return Rewound(dparams, dx, recurrence.state(*copied(dstate, xp=xp)), trace, initial)


def _step_back(
    recurrence: Recurrence,
    params: Tree,
    kept: Arrays,
    around: tuple[Any, Any, Any],
    zoned: tuple[Any, ...],
    noise: dict[str, AnyArray],
    *,
    xp: Namespace,
) -> tuple[Arrays, Any]:
    """Return the record of a step, and the gradient of the state before it.

    `around` are the states before and after it, and the gradient of the latter.
    """
    before, after, dnew = around
    if not zoned:
        return recurrence.step_backward(params, kept, before, after, dnew, xp=xp, **noise)
    kept, after = zones.apart(kept, after, zoned)
    through, passing = zones.parted(zoned, dnew, xp=xp)
    made, dbefore = recurrence.step_backward(params, kept, before, after, through, xp=xp, **noise)
    return made, recurrence.state(*map(add, dbefore, passing))


def recompute(
    recurrence: Recurrence, inputs: Inputs, states: tuple[AnyArray, ...], *, xp: Namespace
) -> tuple[AnyArray, ...]:
    """Return the residuals (T, B, …) of steps whose states are known, in one step of T·B rows."""
    params, x = inputs.params, inputs.x
    steps, batch, *_ = x.shape
    rows = steps * batch
    (u,) = recurrence.project(params, xp.reshape(x, (1, rows, *x.shape[2:])), xp=xp)
    before = recurrence.state(*(xp.reshape(part, (rows, *part.shape[2:])) for part in states))
    noise = _noise(inputs, (states[0][0, ...],), xp=xp)
    if noise:
        factors = xp.broadcast_to(noise["factors"], states[0].shape)
        noise = {"factors": xp.reshape(factors, before[0].shape)}
    weights = recurrence.prepare(params, 1, xp=xp)
    new, residuals = recurrence.step(weights, u, before, xp=xp, **noise)
    if inputs.zoned:
        residuals = (*residuals, *new)
    return tuple(xp.reshape(each, (steps, batch, *each.shape[1:])) for each in residuals)


def step(
    recurrence: Recurrence, params: Tree, x_t: AnyArray, state: Tree, *, xp: Namespace
) -> Tree:
    """Advance by one step; see `Engine`."""
    weights = recurrence.prepare(params, 1, xp=xp)
    (u,) = recurrence.project(params, x_t[None, ...], xp=xp)
    if unseen(state[0]):  # elsewhere the copies take a tenth of the time of a step
        state = copied(state, xp=xp)
    new, _ = recurrence.step(weights, u, state, xp=xp)
    return recurrence.state(*new)
