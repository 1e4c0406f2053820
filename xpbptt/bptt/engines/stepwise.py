"""Runs over a segment with compiled kernels: one product and one kernel a step, nothing else.

All steps share a few buffers, made beforehand; a kernel is given them whole, with the number of
the step. Whatever has no kernel runs step by step, as it is written.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import array_api_compat

from xpbptt._arrays.norms import clip, norm
from xpbptt._arrays.tree import copied
from xpbptt.bptt.engines import eager
from xpbptt.bptt.engines.masks import blank
from xpbptt.bptt.engines.segment import Back, Inputs, Retraced, Segment, longest, pieces
from xpbptt.bptt.engines.tape import Tape
from xpbptt.bptt.engines.trace import Trace, gate_norms
from xpbptt.bptt.layers.layer import Array, Namespace, Tree, Watch
from xpbptt.cells.elementwise import recurrence as elementwise
from xpbptt.cells.recurrence import Recurrence, flat
from xpbptt.kernels import Buffer, Kernel, Kind, find, programs, stream

Buffers = dict[str, Any]


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
    """Run over a segment, at most `most` steps at once, and keep the states before some steps.

    Of all steps it writes to `outputs` as many parts as this has.
    """
    kernel = _kernel(recurrence, "advance", inputs, xp=xp)
    if kernel is None:
        return eager.advance(recurrence, inputs, marks, state, outputs, most, xp=xp)
    written = () if outputs is None else outputs.stacked()
    whole = _named(programs.states(recurrence.cell)[: len(written)], written)
    most = min(most, _most(kernel, inputs))
    return _forward(kernel, recurrence, inputs, marks, state, whole, most, xp=xp)


def record(
    recurrence: Recurrence, inputs: Inputs, state: Tree, *, xp: Namespace
) -> tuple[Segment, Tree]:
    """Run over a segment and keep everything."""
    kernel = _kernel(recurrence, "record", inputs, xp=xp)
    if kernel is None:
        return eager.record(recurrence, inputs, state, xp=xp)
    states = _empty(programs.states(recurrence.cell), inputs, state, xp=xp, more=1)
    residuals = _empty(programs.residuals(recurrence.cell), inputs, state, xp=xp)
    whole, most = states | residuals, _most(kernel, inputs)
    _, last = _forward(kernel, recurrence, inputs, (), state, whole, most, xp=xp)
    kept = (Tape.of(tuple(parts.values()), xp=xp) for parts in (states, residuals))
    return Segment(*kept), last


def retrace(
    recurrence: Recurrence,
    inputs: Inputs,
    segment: Segment,
    back: Back,
    dstate: Tree,
    *,
    xp: Namespace,
) -> Retraced:
    """Go back over a segment, from the gradient of the state after it to that before it."""
    watch, cell = back.watch, recurrence.cell
    kernel = _kernel(recurrence, "watch" if watch.trace else "back", inputs, xp=xp)
    if kernel is None:
        return eager.retrace(recurrence, inputs, segment, back, dstate, xp=xp)
    states = segment.states.stacked()
    before_each = segment.states.stacked(0, inputs.x.shape[0])
    residuals = _residuals(recurrence, inputs, segment, before_each, xp=xp)
    made = programs.backward(cell, masked=inputs.mask is not None)
    records = _empty(made.records, inputs, dstate, xp=xp)
    arrivals = _empty(programs.arrivals(cell) if watch.trace else (), inputs, dstate, xp=xp)
    carried = _empty([programs.PRODUCT, *programs.gradients(cell)], inputs, dstate, xp=xp)
    buffers = records | arrivals | carried | _named(programs.states(cell), states)
    buffers |= residuals | _given(kernel, recurrence, inputs) | {"dy": kernel.plain(back.dy)}
    dv = records["dv" if "dv" in records else "du"]

    dh, direct, *rest = carried.values()
    direct[...] = 0
    for buffer, part in zip((dh, *rest), dstate, strict=True):
        buffer[...] = part
    given, weight = kernel.order(buffers), kernel.plain(inputs.params.weight_hh)
    after = None
    if watch.clip is not None or back.truncate is not None:
        after = partial(_intervene, back, inputs.mask, list(carried.values()), xp=xp)
    kernel.backward(kernel.run, given, dv, weight, dh, after)

    x = blank(inputs.x, inputs.mask, xp=xp)
    dparams, dx = recurrence.accumulate(
        inputs.params, x, before_each, tuple(records.values()), xp=xp
    )
    trace = None
    if watch.trace:
        norms = (norm([part], (1, 2), xp=xp)[:, 0, 0] for part in arrivals.values())
        trace = Trace(recurrence.state(*norms), gate_norms(recurrence, (records["du"],), xp=xp))
    return Retraced(dparams, dx, recurrence.state(dh + direct, *rest), trace)


def step(
    recurrence: Recurrence, params: Tree, x_t: Array, state: Tree, *, xp: Namespace
) -> tuple[Array, Tree]:
    """Advance by one step, x_t (B, I), and return the output and the state after it."""
    compilable = _compilable(recurrence, x_t)
    run = stream(recurrence.cell, params.weight_hh, xp=xp) if compilable else None
    if run is None:
        state = eager.step(recurrence, params, x_t, state, xp=xp)
    else:
        state = run(params, x_t, state)
    return state[0], state


def _intervene(
    back: Back, mask: Array | None, carried: list[Array], t: int, *, xp: Namespace
) -> None:
    """Clip the gradient that step `t` hands back, or cut it off where it is truncated."""
    dh, direct, *rest = carried
    if back.watch.clip is not None:
        whole = [dh + direct, *rest]
        parts, _ = clip(whole, back.watch.clip, -1, xp=xp)
        if mask is not None:
            parts = [xp.where(mask[t, :, None], a, b) for a, b in zip(parts, whole, strict=True)]
        direct[...] = 0
        for buffer, part in zip((dh, *rest), parts, strict=True):
            buffer[...] = part
    if back.cuts(t):
        for buffer in carried:
            buffer[...] = 0


def _forward(
    kernel: Kernel,
    recurrence: Recurrence,
    inputs: Inputs,
    marks: Sequence[int],
    state: Tree,
    whole: Buffers,
    most: int,
    *,
    xp: Namespace,
) -> tuple[list[Tree], Tree]:
    """Run forward, at most `most` steps at once; return the states at the marks and the last.

    `whole` has the buffers of all steps, of states and residuals. The other states are kept for
    as long as their steps are run, in the same memory each time.
    """
    places, length = programs.states(recurrence.cell), inputs.x.shape[0]
    one = inputs.part(slice(0, min(most, length)))
    passing = [place for place in places if place.name not in whole]
    others = _empty(passing, one, state, xp=xp, more=1)
    products = _empty(programs.products(recurrence.cell), one, state, xp=xp)
    u, v = products.values()
    snapshots = []
    for steps in pieces(length, most):
        part = inputs.part(steps)
        x = blank(part.x, part.mask, xp=xp)
        here = _steps(whole, places, steps) | _steps(others, places, slice(0, x.shape[0]))
        here |= {"u": u[: x.shape[0], ...], "v": v}
        states = [here[place.name] for place in places]
        for buffer, before in zip(states, state, strict=True):
            buffer[0, ...] = before
        flat(x, xp=xp).dot(inputs.params.weight_ih.T, out=flat(here["u"], xp=xp))
        given = kernel.order(here | _given(kernel, recurrence, part))
        kernel.forward(kernel.run, given, states[0][:-1, ...], inputs.weights.weight, v)
        inside = marks[bisect_left(marks, steps.start) : bisect_left(marks, steps.stop)]
        snapshots += [_state(recurrence, states, t - steps.start, xp=xp) for t in inside]
        state = recurrence.state(*(buffer[-1, ...] for buffer in states))
    return snapshots, copied(state, xp=xp)


def _state(recurrence: Recurrence, states: Iterable[Array], t: int, *, xp: Namespace) -> Tree:
    """Return a copy of the state before step `t`."""
    return recurrence.state(*(xp.asarray(part[t, ...], copy=True) for part in states))


def _steps(buffers: Buffers, states: list[Buffer], steps: slice) -> Buffers:
    """Return the part of buffers that belongs to some steps, of states one more."""
    names = {place.name for place in states}
    return {
        name: buffer[steps.start : steps.stop + (name in names), ...]
        for name, buffer in buffers.items()
    }


def _residuals(
    recurrence: Recurrence,
    inputs: Inputs,
    segment: Segment,
    before_each: tuple[Array, ...],
    *,
    xp: Namespace,
) -> Buffers:
    """Return the residuals that were kept, or compute them again, for all steps at once."""
    cell, places = recurrence.cell, programs.residuals(recurrence.cell)
    if segment.residuals is not None:
        return _named(places, segment.residuals.stacked())
    if not places:
        return {}
    kernel = _kernel(recurrence, "recompute", inputs._replace(mask=None), xp=xp)
    if kernel is None:
        x = blank(inputs.x, inputs.mask, xp=xp)
        again = recurrence.recompute(inputs.params, x, before_each, xp=xp)
        return _named(places, tuple(xp.ascontiguousarray(part) for part in again))
    x = blank(inputs.x, inputs.mask, xp=xp)
    one = inputs._replace(x=xp.reshape(x, (1, -1, x.shape[-1])), mask=None)
    state = recurrence.state(*(flat(part, xp=xp) for part in before_each))
    residuals = _empty(places, one, state, xp=xp)
    products = _empty(programs.products(cell), one, state, xp=xp)
    u, v = products.values()
    flat(one.x, xp=xp).dot(inputs.params.weight_ih.T, out=u[0, ...])
    state[0].dot(inputs.params.weight_hh.T, out=v)
    buffers = residuals | products | _given(kernel, recurrence, one)
    buffers |= _named(programs.states(cell), [part[None, ...] for part in state])
    kernel.run(0, *kernel.order(buffers))
    return {name: xp.reshape(part, before_each[0].shape) for name, part in residuals.items()}


def _compilable(recurrence: Recurrence, x: Array) -> bool:
    """Tell whether the recurrence is nothing but its cell, and there is anything to compute."""
    cell = recurrence.cell
    return cell is not None and elementwise(cell) == recurrence and 0 not in x.shape


def spans(
    recurrence: Recurrence, inputs: Inputs, steps: slice, watch: Watch, *, xp: Namespace
) -> list[slice]:
    """Return the parts in which it is best gone back over some steps, the last one first."""
    kernel = _kernel(recurrence, "watch" if watch.trace else "back", inputs, xp=xp)
    if kernel is None:
        return [steps]
    parts = pieces(steps.stop - steps.start, _most(kernel, inputs))
    return [slice(steps.start + p.start, steps.start + p.stop) for p in reversed(parts)]


def _most(kernel: Kernel, inputs: Inputs) -> int:
    """Return over how many steps at once a kernel is best run."""
    steps: int = inputs.x.shape[0]
    if kernel.at_once is None:
        return steps
    return longest(inputs.x.shape[1], inputs.params.weight_hh.shape[0], kernel.at_once)


def _kernel(recurrence: Recurrence, kind: Kind, inputs: Inputs, *, xp: Namespace) -> Kernel | None:
    if not _compilable(recurrence, inputs.x):
        return None
    like = inputs.params.weight_hh  # above the first layer x may be in another byte order
    return find(recurrence.cell, kind, like, masked=inputs.mask is not None, xp=xp)


def _empty(
    places: Iterable[Buffer], inputs: Inputs, state: Tree, *, xp: Namespace, more: int = 0
) -> Buffers:
    """Make buffers, for so many steps more than the input has."""
    steps, batch, _ = inputs.x.shape
    sizes = {"t": steps + more, "b": batch, "j": state[0].shape[-1]}
    like, device = inputs.x, array_api_compat.device(inputs.x)
    return {
        place.name: xp.empty(
            (*(sizes[axis] for axis in place.axes[:-1]), place.blocks * sizes["j"]),
            dtype=xp.bool if place.logical else like.dtype,
            device=device,
        )
        for place in places
    }


def _given(kernel: Kernel, recurrence: Recurrence, inputs: Inputs) -> Buffers:
    """Return what a kernel reads beside what the loop makes: biases, own parameters, the mask."""
    params = inputs.params
    own = programs.extras(recurrence.cell)
    given = {} if not own else _named(own, map(kernel.plain, params.extra))
    for name in ("bias_ih", "bias_hh"):
        given[name] = kernel.plain(getattr(params, name))
    if inputs.mask is not None:
        given["mask"] = kernel.plain(inputs.mask)
    return given


def _named(places: Iterable[Buffer], arrays: Iterable[Array]) -> Buffers:
    return {place.name: array for place, array in zip(places, arrays, strict=True)}
