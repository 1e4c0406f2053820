"""The one loop over time, and its backward pass."""

from bisect import bisect_left
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import array_api_compat

from xpbptt._arrays.tree import copied, map_leaves
from xpbptt._arrays.wide import narrowed, wide_dtype, widened
from xpbptt.bptt.engines.masks import blank
from xpbptt.bptt.engines.segment import CHUNK, NUMBERS, Back, Inputs, Segment, longest, pieces
from xpbptt.bptt.engines.stepwise import advance, record, retrace, spans, step
from xpbptt.bptt.engines.tape import Slab, Tape
from xpbptt.bptt.engines.trace import Trace, joined
from xpbptt.bptt.layers.layer import Array, Gradients, Layer, Namespace, Run, Tree, Watch
from xpbptt.bptt.strategies import Plan
from xpbptt.cells.recurrence import Recurrence


class LoopCache(NamedTuple):
    """What the backward pass needs: the inputs, and what the plan says to keep."""

    inputs: Inputs
    plan: Plan
    snapshots: dict[int, Tree]
    segment: Segment


def unroll(recurrence: Recurrence) -> Layer:
    """Apply `recurrence` at every time step of a sequence, one after the other.

    Parameters
    ----------
    recurrence : Recurrence
        The time step.

    Returns
    -------
    layer : Layer
        Its parameters are those of the recurrence, its state is the recurrence's, its output is
        the first part h of the state after each step. The output may share memory with the cache.
    """
    return Layer(
        forward=partial(_forward, recurrence),
        backward=partial(_backward, recurrence),
        infer=partial(_infer, recurrence),
        step=partial(step, recurrence),
    )


def _forward(
    recurrence: Recurrence, params: Tree, x: Array, state: Tree, run: Run, *, xp: Namespace
) -> tuple[Array, Tree, Any]:
    mask, plan, _ = run
    inputs = Inputs.read(recurrence, params, x, mask, xp=xp)
    steps, snapshots = x.shape[0], dict[int, Tree]()
    if plan.tail == 0 and plan.residuals:
        segment, state = record(recurrence, inputs, state, xp=xp)
        outputs = segment.states
    elif plan.tail == 0:
        outputs = Tape.starting(state, steps + 1, xp=xp)
        _, state = advance(recurrence, inputs, (), state, outputs, CHUNK, xp=xp)
        segment = Segment(outputs, None)
    else:
        state = copied(state, xp=xp)  # it is kept
        outputs = Tape.starting(state[:1], steps + 1, xp=xp)
        head, tail = slice(0, plan.tail), slice(plan.tail, steps)
        before = outputs.part(0, plan.tail + 1)
        snapshots, state = _sweep(recurrence, inputs, head, plan.snapshots, state, before, xp=xp)
        segment, state = record(recurrence, inputs.part(tail), state, xp=xp)
        for t in range(plan.tail, steps):
            outputs.write(t + 1, segment.states.read(t + 1 - plan.tail)[:1])
    y = outputs.stacked(1)[0]
    # Without a tail the outputs are kept.
    y = _blanked(y, mask, CHUNK, xp=xp) if plan.tail else blank(y, mask, xp=xp)
    cache = LoopCache(Inputs(params, x, mask), plan, snapshots, segment)
    return y, state, cache


def _backward(
    recurrence: Recurrence,
    cache: LoopCache,
    dy: Array,
    dstate: Tree,
    watch: Watch,
    *,
    xp: Namespace,
) -> tuple[Gradients, Any]:
    inputs, plan, snapshots, kept = cache
    if inputs.x.shape[0] == 0:
        return _no_steps(recurrence, inputs, dstate, watch, xp=xp)
    if any(map(plan.runs_again, plan.moves())):
        inputs = Inputs.read(recurrence, *inputs[:3], xp=xp)
    dparams, dx = None, Slab(inputs.x, xp=xp)
    traces: list[Trace] = []
    for move in plan.moves():
        source, taken, start, stop = move
        if plan.runs_again(move):
            state, sweep = snapshots[source], slice(source, start)
            new, state = _sweep(recurrence, inputs, sweep, taken, state, None, xp=xp)
            snapshots = {t: s for t, s in (snapshots | new).items() if t < start}
            segment, _ = record(recurrence, inputs.part(slice(start, stop)), state, xp=xp)
        else:
            segment = kept.part(start - plan.tail, stop - plan.tail, xp=xp)
        for steps in spans(recurrence, inputs, slice(start, stop), watch, xp=xp):
            part = segment.part(steps.start - start, steps.stop - start, xp=xp)
            back = Back(dy[steps, ...], steps.start, plan.truncate, watch)
            found = retrace(recurrence, inputs.part(steps), part, back, dstate, xp=xp)
            if dparams is not None:
                dparams = map_leaves(partial(_add, xp=xp), dparams, found.params)
            elif steps.start:  # a cell may give two parameters one array, not to be added to twice
                dparams = map_leaves(partial(_sum_from, xp=xp), found.params)
            else:
                dparams = found.params
            dx.write(steps, found.x)
            dstate = found.state
            if found.trace is not None:
                traces.append(found.trace)
            del part, found, back  # or they are still there when the next ones are made
        del segment
    dparams = map_leaves(partial(narrowed, dtype=dy.dtype, xp=xp), dparams)
    return Gradients(dparams, dx.whole(), dstate), joined(traces[::-1], xp=xp)


def _infer(
    recurrence: Recurrence,
    params: Tree,
    x: Array,
    state: Tree,
    mask: Array | None,
    *,
    xp: Namespace,
) -> tuple[Array, Tree]:
    outputs = Tape.starting(state[:1], x.shape[0] + 1, xp=xp)
    inputs = Inputs.read(recurrence, params, x, mask, xp=xp)
    most = max(CHUNK, longest(x.shape[1], sum(part.shape[1] for part in state), NUMBERS))
    _, state = advance(recurrence, inputs, (), state, outputs, most, xp=xp)
    state = state if x.shape[0] else copied(state, xp=xp)
    return _blanked(outputs.stacked(1)[0], mask, most, xp=xp), state


def _blanked(y: Array, mask: Array | None, most: int, *, xp: Namespace) -> Array:
    """Write zeros into `y` where the mask is False, `most` steps at once, if it can be written."""
    if mask is None or not array_api_compat.is_writeable_array(y):
        return blank(y, mask, xp=xp)
    for steps in pieces(y.shape[0], most):
        y[steps, ...] = blank(y[steps, ...], mask[steps, ...], xp=xp)
    return y


def _no_steps(
    recurrence: Recurrence, inputs: Inputs, dstate: Tree, watch: Watch, *, xp: Namespace
) -> tuple[Gradients, Any]:
    """Go back over a sequence of no steps; its trace is that of one step, which is left out."""
    zeros = partial(map_leaves, xp.zeros_like)
    grads = Gradients(zeros(inputs.params), xp.zeros_like(inputs.x), copied(dstate, xp=xp))
    if not watch.trace:
        return grads, None
    device = array_api_compat.device(inputs.x)
    x = xp.zeros((1, *inputs.x.shape[1:]), dtype=inputs.x.dtype, device=device)
    one = Inputs.read(recurrence, inputs.params, x, None, xp=xp)
    segment, _ = record(recurrence, one, zeros(dstate), xp=xp)
    back = Back(xp.zeros_like(dstate[0])[None, ...], 0, None, watch)
    trace = retrace(recurrence, one, segment, back, zeros(dstate), xp=xp).trace
    return grads, map_leaves(lambda norms: norms[:0], trace)


def _sweep(
    recurrence: Recurrence,
    inputs: Inputs,
    steps: slice,
    marks: Sequence[int],
    state: Tree,
    outputs: Tape | None,
    *,
    xp: Namespace,
) -> tuple[dict[int, Tree], Tree]:
    """Run over `steps` with little there at once, and keep the state before those at marks."""
    inside = marks[: bisect_left(marks, steps.stop)]
    places, part = [t - steps.start for t in inside], inputs.part(steps)
    kept, state = advance(recurrence, part, places, state, outputs, CHUNK, xp=xp)
    return dict(zip(inside, kept, strict=True)), state


def _sum_from(first: Array, *, xp: Namespace) -> Array:
    """Return a new array to add to, wide enough for a sum."""
    return xp.astype(first, wide_dtype(first.dtype, xp=xp), copy=True)


def _add(total: Array, more: Array, *, xp: Namespace) -> Array:
    total += widened(more, xp=xp)
    return total
