"""The one loop over a sequence: a plan says what is kept, an engine runs the steps.

Forward, the steps are run to the end, and the states and segments that the plan names are kept.
Backward, each move of the plan runs a segment again where it was not kept, and goes back over it.
How steps are run is the engine's; what the gradients of segments add up to is in `Totals`.
"""

from functools import partial
from typing import Any, NamedTuple, cast

import array_api_compat

from xpbptt._arrays.dual import writable
from xpbptt._arrays.tree import copied, map_leaves
from xpbptt._arrays.types import AnyArray, Namespace, Tree
from xpbptt.bptt.cost import memory
from xpbptt.bptt.engines.chunks import advancing, chunks, inference
from xpbptt.bptt.engines.engine import Answer, Engine, choose
from xpbptt.bptt.engines.masks import blank
from xpbptt.bptt.engines.resets import Resets
from xpbptt.bptt.engines.segment import Back, Inputs, Rewound, Segment
from xpbptt.bptt.engines.tape import Tape
from xpbptt.bptt.engines.totals import Totals
from xpbptt.bptt.layers.layer import Gradients, Layer, Run, Watch
from xpbptt.bptt.layers.noise import Noise, Rates
from xpbptt.bptt.layers.passes import Pass, Steps
from xpbptt.bptt.layers.states import Every, Start
from xpbptt.bptt.strategies import Plan
from xpbptt.cells.cell import Cell
from xpbptt.cells.recurrence import Recurrence
from xpbptt.cells.zoneout import expected
from xpbptt.kernels import Form, Kind
from xpbptt.kernels.target import HandBack

QUIET = Rates()
INFER: tuple[Kind, ...] = ("advance",)  # the programs of inference


class LoopCache(NamedTuple):
    """What the backward pass needs: the inputs, and what the plan says to keep."""

    inputs: Inputs
    plan: Plan
    snapshots: dict[int, Tree]
    segment: Segment
    started: bool = False  # whether resets restore another state than the first


class Engines(NamedTuple):
    """Which engine runs each pass, with the reason why it is not a faster one."""

    forward: Answer
    backward: Answer
    infer: Answer


def engines(
    cell: Cell | Recurrence,
    params: Tree,
    x: AnyArray,
    plan: Plan,
    *,
    form: Form,
    xp: Namespace,
) -> Engines:
    """Return which engine the passes over an input take.

    Parameters
    ----------
    cell : Cell or Recurrence
        The time step.
    params : tree of arrays
        The parameters of one layer and direction.
    x : array (T, B, I)
        The input.
    plan : Plan
        What the pass forward keeps.
    form : Form
        What the passes are given beside input and state.
    xp : namespace
        The namespace of the arrays.
    """
    quiet = form._replace(drops=False, zoned=())  # nothing is drawn in inference
    passes = (
        (_kinds_forward(plan), form),
        (_kinds_backward(plan, Watch()), form),
        (INFER, quiet),
    )
    found = (choose(cell, kinds, params, x, form=each, xp=xp) for kinds, each in passes)
    return Engines(*(Answer(engine.name, engine.reason) for engine in found))


def unroll(cell: Cell | Recurrence, rates: Rates = QUIET) -> Layer:
    """Apply a cell at every time step of a sequence, one after the other.

    Parameters
    ----------
    cell : Cell or Recurrence
        The time step.
    rates : Rates
        The noise of `forward`; `infer` and `step` take its expectation. Default: none.

    Returns
    -------
    layer : Layer
        Its parameters are those of the recurrence, its state is the recurrence's, its output is
        the first part h of the state after each step. The output may share memory with the cache.
    """
    average = expected(cell, rates.zoneout)
    return Layer(
        forward=Pass(partial(_forward, cell, rates)),
        backward=Pass(partial(_backward, cell)),
        infer=Pass(partial(_infer, average)),
        step=partial(_step, average),
        memory=partial(memory, cell, rates),
    )


def _forward(
    cell: Cell | Recurrence,
    rates: Rates,
    params: Tree,
    x: AnyArray,
    state: Tree,
    run: Run,
    *,
    xp: Namespace,
) -> Steps[tuple[AnyArray, Tree, Any]]:
    mask, plan, started = run.mask, cast("Plan", run.plan), isinstance(state, Start)
    kinds = _kinds_forward(plan)
    given, state = _given(params, x, state, run)
    if rates.recurrent or rates.zoneout:
        given = given._replace(noise=Noise(rates, run.key))
    engine = choose(cell, kinds, params, x, form=_form(given), xp=xp)
    steps, snapshots = x.shape[0], dict[int, Tree]()
    most = steps if kinds == ("record",) else advancing(plan.longest)
    inputs = given._replace(weights=engine.prepare(params, steps, xp=xp))
    if kinds == ("record",):
        segment, state = yield from engine.record(inputs, state, xp=xp)
        after = tuple([part[1:, ...] for part in segment.states])
    elif kinds == ("advance",):
        outputs = Tape.starting(state, steps + 1, xp=xp)
        _, state = yield from engine.advance(inputs, (), state, outputs, most, xp=xp)
        segment = Segment(outputs.stacked(), None)
        after = outputs.stacked(1)
    else:
        state = copied(state, xp=xp)  # it is kept
        outputs = Tape.starting(state if run.states else state[:1], steps + 1, xp=xp)
        head, tail = slice(0, plan.tail), slice(plan.tail, steps)
        start = outputs.part(0, plan.tail + 1)
        marks = tuple(plan.snapshots)
        kept, state = yield from engine.advance(inputs.part(head), marks, state, start, most, xp=xp)
        snapshots = dict(zip(marks, kept, strict=True))
        segment, state = yield from engine.record(inputs.part(tail), state, xp=xp)
        tail_after = (part[1:, ...] for part in segment.states[: outputs.parts])
        outputs.put(plan.tail + 1, tuple(tail_after))
        after = outputs.stacked(1)
    y = after[0]
    # Without a tail the outputs are kept.
    if mask is not None:
        y = (
            _blanked(y, mask, most, xp=xp)
            if plan.tail and not run.states
            else blank(y, mask, xp=xp)
        )
    if run.states:
        state = Every(state, type(state)(*after))
    return y, state, LoopCache(given, plan, snapshots, segment, started)


def _given(params: Tree, x: AnyArray, state: Tree, run: Run) -> tuple[Inputs, Tree]:
    """Return what the layer reads, and the state before the first step."""
    if run.reset is None:
        return Inputs(params, x, run.mask), state
    state, initial = state if isinstance(state, Start) else (state, state)
    return Inputs(params, x, run.mask, resets=Resets(run.reset, initial)), state


def _form(inputs: Inputs) -> Form:
    """Return the form of the cell's programs that takes what a layer reads."""
    masked, resets, noise = inputs.mask is not None, inputs.resets is not None, inputs.noise
    if noise is None:
        return Form(masked, resets)
    return Form(masked, resets, drops=noise.rates.recurrent > 0, zoned=noise.zoned)


def _kinds_forward(plan: Plan) -> tuple[Kind, ...]:
    """Return the programs that running forward by a plan needs."""
    if plan.tail:
        return ("advance", "record")
    return ("record",) if plan.residuals else ("advance",)


def _kinds_backward(plan: Plan, watch: Watch) -> tuple[Kind, ...]:
    """Return the programs that going back by a plan needs."""
    back: Kind = "watch" if watch.trace else "back"
    again: tuple[Kind, ...] = ("advance", "record") if plan.again else ()
    return (back, *again) if plan.residuals else (back, "recompute")


def _backward(
    cell: Cell | Recurrence,
    cache: LoopCache,
    dy: AnyArray,
    dstate: Tree,
    watch: Watch,
    *,
    xp: Namespace,
) -> Steps[tuple[Gradients, Any]]:
    inputs, plan, snapshots, kept, started = cache
    params, x, *_ = inputs
    dstate, dstates = dstate if isinstance(dstate, Every) else (dstate, None)
    kinds = _kinds_backward(plan, watch)
    form = _form(inputs)._replace(states=dstates is not None)
    engine = choose(cell, kinds, params, x, form=form, xp=xp)
    if x.shape[0] == 0:
        grads, trace = yield from _no_steps(engine, inputs, dstate, watch, xp=xp)
        zeros = map_leaves(xp.zeros_like, dstate)
        return (grads._replace(state=Start(grads.state, zeros)) if started else grads), trace
    if plan.again:
        inputs = inputs._replace(weights=engine.prepare(params, x.shape[0], xp=xp))
    totals: Any = None
    for move in plan.moves():
        source, taken, start, stop = move
        steps = slice(start, stop)
        whole = stop - start == x.shape[0]
        part = inputs if whole else inputs.part(steps)
        if plan.again and plan.runs_again(move):
            state = snapshots[source]
            if source < start:
                sweep, marks = inputs.part(slice(source, start)), [t - source for t in taken]
                most = advancing(plan.longest)
                states, state = yield from engine.advance(sweep, marks, state, None, most, xp=xp)
                snapshots = {t: s for t, s in snapshots.items() if t < start}
                snapshots |= zip(taken, states, strict=True)
            segment, _ = yield from engine.record(part, state, xp=xp)
        else:
            segment = kept if whole else kept.part(start - plan.tail, stop - plan.tail)
        how = Back(dy, HandBack(0, plan.truncate, watch.clip), watch, dstates)
        if not whole:
            how = how.part(steps)._replace(sums=totals.params if totals else None)
        found = yield from engine.rewind(part, segment, how, dstate, xp=xp)
        if whole:
            return _gradients(found, started=started), found.trace
        if totals is None:
            totals = Totals(x, xp=xp)
        totals.add(steps, found)
        dstate = found.state
        del segment, found, how  # or they are still there when the next ones are made
    found = totals.whole()
    return _gradients(found, started=started), found.trace


def _gradients(found: Rewound, *, started: bool) -> Gradients:
    """Return the gradients; that of the initial state takes in what resets hand to it."""
    dstate = found.state
    if started:
        dstate = Start(dstate, found.initial)
    elif found.initial is not None:
        pairs = zip(dstate, found.initial, strict=True)
        dstate = type(dstate)(*(part + more for part, more in pairs))
    return Gradients(found.params, found.x, dstate)


def _infer(
    cell: Cell | Recurrence,
    params: Tree,
    x: AnyArray,
    state: Tree,
    run: Run,
    *,
    xp: Namespace,
) -> Steps[tuple[AnyArray, Tree]]:
    inputs, state = _given(params, x, state, run)
    engine = choose(cell, INFER, params, x, form=_form(inputs), xp=xp)
    outputs = Tape.starting(state if run.states else state[:1], x.shape[0] + 1, xp=xp)
    inputs = inputs._replace(weights=engine.prepare(params, x.shape[0], xp=xp))
    parts = engine.compiled.loop.parts if engine.compiled else None
    most = inference(x.shape[0], x.shape[1], state, parts)
    _, state = yield from engine.advance(inputs, (), state, outputs, most, xp=xp)
    state = state if x.shape[0] else copied(state, xp=xp)
    after = outputs.stacked(1)
    if run.states:
        return blank(after[0], run.mask, xp=xp), Every(state, type(state)(*after))
    return _blanked(after[0], run.mask, most, xp=xp), state


def _step(
    cell: Cell | Recurrence, params: Tree, x_t: AnyArray, state: Tree, *, xp: Namespace
) -> tuple[AnyArray, Tree]:
    state = choose(cell, ("single",), params, x_t, xp=xp).step(params, x_t, state, xp=xp)
    return state[0], state


def _blanked(y: AnyArray, mask: AnyArray | None, most: int, *, xp: Namespace) -> AnyArray:
    """Write zeros into `y` where the mask is False, `most` steps at once, if it can be written."""
    if mask is None or not writable(y):
        return blank(y, mask, xp=xp)
    for steps in chunks(y.shape[0], most):
        y[steps, ...] = blank(y[steps, ...], mask[steps, ...], xp=xp)
    return y


def _no_steps(
    engine: Engine, inputs: Inputs, dstate: Tree, watch: Watch, *, xp: Namespace
) -> Steps[tuple[Gradients, Any]]:
    """Go back over a sequence of no steps; its trace is that of one step, which is left out."""
    zeros = partial(map_leaves, xp.zeros_like)
    params = inputs.params
    if watch.per_sample:
        shape = inputs.x.shape[1:2]
        params = map_leaves(lambda leaf: xp.broadcast_to(leaf, (*shape, *leaf.shape)), params)
    grads = Gradients(zeros(params), xp.zeros_like(inputs.x), copied(dstate, xp=xp))
    if not watch.trace:
        return grads, None
    device = array_api_compat.device(inputs.x)
    x = xp.zeros((1, *inputs.x.shape[1:]), dtype=inputs.x.dtype, device=device)
    one = Inputs(inputs.params, x, None, engine.prepare(inputs.params, 1, xp=xp))
    segment, _ = yield from engine.record(one, zeros(dstate), xp=xp)
    back = Back(xp.zeros_like(dstate[0])[None, ...], HandBack(0, None, watch.clip), watch)
    found = yield from engine.rewind(one, segment, back, zeros(dstate), xp=xp)
    return grads, map_leaves(lambda norms: norms[:0], found.trace)
