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
from xpbptt._arrays.types import AnyArray, Namespace, Tree
from xpbptt._arrays.wide import narrowed
from xpbptt._arrays.writes import unseen
from xpbptt.bptt.engines.chunks import chunks
from xpbptt.bptt.engines.masks import blank, columns, held, taken
from xpbptt.bptt.engines.resets import parted, starts
from xpbptt.bptt.engines.segment import Back, Inputs, Rewound, Segment
from xpbptt.bptt.engines.tape import Tape
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
    state = recurrence.state(*copied(state, xp=xp))
    for steps in chunks(inputs.x.shape[0], most):
        params, x, mask, _, resets = inputs.part(steps)
        keep = columns(mask)
        projected = recurrence.project(params, blank(x, mask, xp=xp), xp=xp)
        for t, u in enumerate(projected, steps.start):
            if t in wanted:
                snapshots.append(state)
            if resets is not None:
                state = resets.starts(t - steps.start, state, xp=xp)
            new, _ = recurrence.step(weights, u, state, xp=xp)
            state = new if keep is None else held(keep[t - steps.start, ...], new, state, xp=xp)
            if outputs is not None:
                outputs.write(t + 1, state[: outputs.parts])
        del projected, u  # or they are still there when the next ones are made
        state = recurrence.state(*copied(state, xp=xp))
    return snapshots, state


def record(
    recurrence: Recurrence, inputs: Inputs, state: Tree, *, xp: Namespace
) -> tuple[Segment, Tree]:
    """Run forward and keep everything; see `Engine`."""
    params, x, mask, weights, resets = inputs
    state = copied(state, xp=xp)
    length, keep = x.shape[0], columns(mask)
    states, residuals = Tape.starting(state, length + 1, xp=xp), Tape(length, xp=xp)
    for t, u in enumerate(recurrence.project(params, blank(x, mask, xp=xp), xp=xp)):
        if resets is not None:
            state = resets.starts(t, state, xp=xp)
        new, kept = recurrence.step(weights, u, state, xp=xp)
        state = new if keep is None else held(keep[t, ...], new, state, xp=xp)
        states.write(t + 1, state)
        residuals.write(t, kept)
    return Segment(states, residuals), recurrence.state(*copied(state, xp=xp))


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
    params, x, mask, _, resets = inputs
    dstate = copied(dstate, xp=xp)
    length, states, keep = x.shape[0], segment.states, columns(mask)
    x, dy = blank(x, mask, xp=xp), blank(back.dy, mask, xp=xp)
    before_each = starts(resets, states.stacked(0, length), xp=xp)
    initial = None if resets is None else map_leaves(xp.zeros_like, dstate)
    residuals = segment.residuals
    if residuals is None:
        residuals = Tape.of(recompute(recurrence, params, x, before_each, xp=xp), xp=xp)
    records, norms = Tape(length, xp=xp), Tape(length, xp=xp)
    after = recurrence.state(*states.read(length))
    for t in reversed(range(length)):
        before = last = recurrence.state(*states.read(t))
        if resets is not None:
            before = resets.starts(t, last, xp=xp)
        if back.dstates is not None:
            pairs = zip(dstate, back.dstates, strict=True)
            dstate = recurrence.state(*(part + more[t, ...] for part, more in pairs))
        dh, *drest = dstate
        dnew = recurrence.state(dh + dy[t, ...], *drest)
        column = None if keep is None else keep[t, ...]
        made, dbefore = recurrence.step_backward(
            params, residuals.read(t), before, after, taken(column, dnew, xp=xp), xp=xp
        )
        records.write(t, made)
        if back.watch.trace:
            norms.write(t, tuple(norm([part], xp=xp) for part in dnew))
        if back.watch.clip is not None:
            parts, _ = clip(list(dbefore), back.watch.clip, -1, xp=xp)
            dbefore = recurrence.state(*parts)
        dstate = held(column, dbefore, dnew, xp=xp)
        if resets is not None:
            to_initial, dstate = parted(resets.where[t, :, None], dstate, xp=xp)
            initial = map_leaves(add, initial, to_initial)
        if back.hand_back.cuts(t):
            dstate = recurrence.state(*(xp.zeros_like(part) for part in dstate))
        after = last
    dparams, dx = recurrence.accumulate(params, x, before_each, records.stacked(), xp=xp)
    dparams = map_leaves(partial(narrowed, dtype=dy.dtype, xp=xp), dparams)  # no scalars
    trace = None
    if back.watch.trace:
        gates = gate_norms(recurrence, records.stacked(), xp=xp)
        trace = Trace(recurrence.state(*norms.stacked()), gates)
    return Rewound(dparams, dx, recurrence.state(*copied(dstate, xp=xp)), trace, initial)


def recompute(
    recurrence: Recurrence,
    params: Tree,
    x: AnyArray,
    states: tuple[AnyArray, ...],
    *,
    xp: Namespace,
) -> tuple[AnyArray, ...]:
    """Return the residuals (T, B, …) of steps whose states are known, in one step of T·B rows."""
    steps, batch, *_ = x.shape
    rows = steps * batch
    (u,) = recurrence.project(params, xp.reshape(x, (1, rows, *x.shape[2:])), xp=xp)
    before = recurrence.state(*(xp.reshape(part, (rows, *part.shape[2:])) for part in states))
    _, residuals = recurrence.step(recurrence.prepare(params, 1, xp=xp), u, before, xp=xp)
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
