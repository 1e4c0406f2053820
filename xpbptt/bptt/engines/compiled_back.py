"""The way back of the engines of compiled cells."""

from xpbptt._arrays.norms import norm
from xpbptt._arrays.types import AnyArray, Namespace, Tree
from xpbptt.bptt.engines.buffers import Buffers, empty, given, most_steps, multiplied, named, noise
from xpbptt.bptt.engines.chunks import chunks
from xpbptt.bptt.engines.masks import blank
from xpbptt.bptt.engines.segment import Back, Inputs, Rewound, Segment
from xpbptt.bptt.engines.sums import accumulate
from xpbptt.bptt.engines.totals import Totals
from xpbptt.bptt.engines.trace import Trace, gate_norms
from xpbptt.bptt.layers.passes import Steps
from xpbptt.cells.product import read
from xpbptt.cells.recurrence import Recurrence, flat
from xpbptt.kernels import Compiled
from xpbptt.kernels.target import Call


def rewind(
    of: Recurrence,
    compiled: Compiled,
    inputs: Inputs,
    segment: Segment,
    back: Back,
    dstate: Tree,
    *,
    xp: Namespace,
) -> Steps[Rewound]:
    """Go back over a segment; see `Engine`."""
    length, most = inputs.x.shape[0], most_steps(compiled.target.at_once, inputs)
    if length <= most:
        found = yield from _backward(of, compiled, inputs, segment, back, dstate, xp=xp)
        return found
    totals = Totals(inputs.x, xp=xp)
    for steps in reversed(chunks(length, most)):
        part = segment.part(steps.start, steps.stop)
        how = back.part(steps)._replace(sums=totals.params)
        one = inputs.part(steps)
        found = yield from _backward(of, compiled, one, part, how, dstate, xp=xp)
        totals.add(steps, found)
        dstate = found.state
        del part, found, how, one  # or they are still there when the next ones are made
    return totals.whole()


def _backward(
    of: Recurrence,
    compiled: Compiled,
    inputs: Inputs,
    segment: Segment,
    back: Back,
    dstate: Tree,
    *,
    xp: Namespace,
) -> Steps[Rewound]:
    """Go back over a chunk."""
    watch, made, target = back.watch, compiled.backward, compiled.target
    part_read = read(compiled.cell)
    kernel = compiled.kernels["watch" if watch.trace else "back"]
    states = segment.states
    before_each = tuple([part[:-1, ...] for part in states])
    if inputs.resets is not None:
        every = segment.residuals is None or target.accumulate is None or watch.per_sample
        only = None if every else part_read
        choose = target.choose or xp.where
        before_each = inputs.resets.all_starts(before_each, only, choose=choose)
    # First: what is made on the way to them is gone when the records are made.
    residuals = _residuals(of, compiled, inputs, segment, before_each, xp=xp)
    records = _records(compiled, inputs, xp=xp)
    arrivals = empty(compiled, made.arrivals, inputs, xp=xp) if watch.trace else {}
    carried = empty(compiled, made.carried, inputs, xp=xp)
    buffers = records | arrivals | carried | given(compiled, inputs)
    buffers |= noise(inputs, dstate, xp=xp)
    buffers |= named(compiled.forward.states, states)
    buffers |= residuals | empty(compiled, made.projected, inputs, xp=xp)
    buffers["dy"] = target.plain(back.dy)
    if back.dstates is not None:
        buffers |= named(made.every, map(target.plain, back.dstates))
    returned = empty(compiled, made.returned, inputs, xp=xp)
    buffers |= returned

    parts = [carried[f"dstate_{name}"] for name in of.state._fields]
    for buffer, part in zip(parts, dstate, strict=True):
        buffer[...] = part
    if kernel.task.recurrent:  # the first step back reads it as a product
        dh, direct = carried["dh"], parts[part_read]
        dh[...], direct[...] = direct, 0
    arguments = kernel, inputs.params, buffers, back.hand_back
    yield Call(compiled.loop.backward, arguments, compiled.loop.pair)

    known = records | residuals
    dparams, dx = _of_parameters(of, compiled, inputs, back, before_each, known, xp=xp)
    if kernel.task.recurrent:
        parts[part_read] = dh + direct
    trace, initial = None, of.state(*returned.values()) if returned else None
    if watch.trace:
        norms = (norm([part], (1, 2), xp=xp)[:, 0, 0] for part in arrivals.values())
        trace = Trace(of.state(*norms), gate_norms(of, (records["du"],), xp=xp))
    return Rewound(dparams, dx, of.state(*parts), trace, initial)


def _records(compiled: Compiled, inputs: Inputs, *, xp: Namespace) -> Buffers:
    """Make the buffers of the records, with zeros where steps add to them."""
    places = compiled.backward.records
    records = empty(compiled, places, inputs, xp=xp)
    for each in places:
        if "t" not in each.axes:
            records[each.name][...] = 0
    return records


def _of_parameters(
    of: Recurrence,
    compiled: Compiled,
    inputs: Inputs,
    back: Back,
    before_each: tuple[AnyArray, ...],
    made: Buffers,
    *,
    xp: Namespace,
) -> tuple[Tree, AnyArray]:
    """Return the gradients of the parameters, and of the input, from the records."""
    target, watch = compiled.target, back.watch
    x = inputs.x if inputs.mask is None else blank(inputs.x, inputs.mask, xp=xp)
    if inputs.noise is not None:
        before_each = inputs.multiplied(of, before_each, xp=xp)
    places = compiled.backward.records
    if compiled.cell.projection:  # what is projected is the last residual
        places = (*places, compiled.forward.residuals[-1])
    records = tuple(
        made[each.name] if "t" in each.axes else made[each.name][None, ...] for each in places
    )
    if target.accumulate is None or watch.per_sample:
        return accumulate(of, watch, inputs.params, x, before_each, records, xp=xp)
    end, of_state = len(records) - compiled.cell.side, before_each[read(compiled.cell)]
    given_x = multiplied(compiled, x)
    dparams, dx = target.accumulate(inputs.params, given_x, of_state, records[:end], back.sums)
    return dparams, xp.concat((dx, *records[end:]), axis=-1) if compiled.cell.side else dx


def _residuals(
    of: Recurrence,
    compiled: Compiled,
    inputs: Inputs,
    segment: Segment,
    before_each: tuple[AnyArray, ...],
    *,
    xp: Namespace,
) -> Buffers:
    """Return the residuals that were kept, or compute them again, for all steps at once."""
    places, target = compiled.forward.residuals, compiled.target
    if segment.residuals is not None:
        return named(places, segment.residuals)
    if not places:
        return {}
    kernel = compiled.kernels["recompute"]
    x = blank(inputs.x, inputs.mask, xp=xp)
    one = inputs._replace(x=xp.reshape(x, (1, -1, x.shape[-1])), mask=None, resets=None, noise=None)
    state = of.state(*(flat(part, xp=xp) for part in before_each))
    residuals = empty(compiled, places, one, xp=xp)
    products = empty(compiled, compiled.forward.products, one, xp=xp)
    given_x = multiplied(compiled, one.x)
    target.multiply(flat(given_x, xp=xp), inputs.params.weight_ih.T, products["u"][0, ...])
    if kernel.task.recurrent:
        before = inputs.multiplied(of, before_each, xp=xp)[read(compiled.cell)]
        target.multiply(flat(before, xp=xp), inputs.params.weight_hh.T, products["v"])
    buffers = residuals | products | given(compiled, one)
    buffers |= named(compiled.forward.states, [part[None, ...] for part in state])
    kernel.run(0, *[buffers[name] for name in kernel.task.program.names])
    rows = before_each[0].shape[:2]
    return {name: xp.reshape(part, (*rows, *part.shape[2:])) for name, part in residuals.items()}
