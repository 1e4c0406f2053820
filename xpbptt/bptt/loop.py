"""The one loop over time, and its backward pass."""

from functools import partial
from typing import Any, NamedTuple

from xpbptt._tree import map_leaves
from xpbptt.bptt.layer import Array, Gradients, Layer, Namespace, Run, Tree, Watch
from xpbptt.bptt.masks import blank
from xpbptt.bptt.recurrence import Recurrence
from xpbptt.bptt.segments import Back, Inputs, Segment, advance, record, retrace, sweep
from xpbptt.bptt.strategies import Plan
from xpbptt.bptt.tape import Slab, Tape
from xpbptt.bptt.trace import Trace, joined


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
        step=partial(_step, recurrence),
    )


def _forward(
    recurrence: Recurrence, params: Tree, x: Array, state: Tree, run: Run, *, xp: Namespace
) -> tuple[Array, Tree, Any]:
    mask, plan, _ = run
    inputs = Inputs.read(recurrence, params, x, mask, xp=xp)
    steps, snapshots = x.shape[0], dict[int, Tree]()
    tail = slice(plan.tail, steps)
    if plan.residuals and plan.tail == 0:
        segment, state = record(recurrence, inputs, tail, state, xp=xp)
        outputs = segment.states
    elif plan.tail == 0:
        outputs = Tape.starting(state, steps + 1, xp=xp)
        state = advance(recurrence, inputs, tail, state, outputs=outputs, xp=xp)
        segment = Segment(outputs, None)
    else:
        state = recurrence.state(*(xp.asarray(part, copy=True) for part in state))  # it is kept
        outputs, marks = Tape.starting(state[:1], steps + 1, xp=xp), plan.snapshots
        snapshots, state = sweep(
            recurrence, inputs, marks, plan.tail, state, outputs=outputs, xp=xp
        )
        segment, state = record(recurrence, inputs, tail, state, xp=xp)
        for t in range(plan.tail, steps):
            outputs.write(t + 1, segment.states.read(t + 1 - plan.tail)[:1])
    y = outputs.stacked(1)[0]
    cache = LoopCache(Inputs(params, x, mask), plan, snapshots, segment)
    return blank(y, mask, xp=xp), state, cache


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
    if any(map(plan.runs_again, plan.moves())):
        inputs = Inputs.read(recurrence, *inputs[:3], xp=xp)
    back = Back(blank(dy, inputs.mask, xp=xp), plan.truncate, watch)
    dparams, dx = None, Slab(inputs.x, xp=xp)
    traces: list[Trace] = []
    for move in plan.moves():
        source, taken, start, stop = move
        steps = slice(start, stop)
        if plan.runs_again(move):
            marks = (source, *taken)
            new, state = sweep(recurrence, inputs, marks, start, snapshots[source], xp=xp)
            snapshots = {t: s for t, s in (snapshots | new).items() if t < start}
            segment, _ = record(recurrence, inputs, steps, state, xp=xp)
        else:
            segment = kept.part(start - plan.tail, stop - plan.tail, xp=xp)
        part = retrace(recurrence, inputs, steps, segment, back, dstate, xp=xp)
        dparams = part.params if dparams is None else map_leaves(_add, dparams, part.params)
        dx.write(steps, part.x)
        dstate = part.state
        if part.trace is not None:
            traces.append(part.trace)
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
    inputs, steps = Inputs.read(recurrence, params, x, mask, xp=xp), slice(0, x.shape[0])
    state = advance(recurrence, inputs, steps, state, outputs=outputs, xp=xp)
    return blank(outputs.stacked(1)[0], mask, xp=xp), state


def _step(
    recurrence: Recurrence, params: Tree, x_t: Array, state: Tree, *, xp: Namespace
) -> tuple[Array, Tree]:
    weights = recurrence.prepare(params, 1, xp=xp)
    (inputs,) = recurrence.project(params, x_t[None, ...], xp=xp)
    state, _ = recurrence.step(weights, inputs, state, xp=xp)
    return state[0], state


def _add(a: Array, b: Array) -> Array:
    a += b
    return a
