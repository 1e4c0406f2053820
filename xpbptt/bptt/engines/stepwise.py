"""The engine `stepwise`: compiled cells, one product and one kernel a step.

All steps share a few buffers, made beforehand; a kernel is given them whole, with the number of
the step. Long sequences are run in chunks that stay in the cache.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from xpbptt.bptt.engines.buffers import Buffers, empty, given, most_steps, named, part
from xpbptt.bptt.engines.chunks import chunks
from xpbptt.bptt.engines.masks import blank
from xpbptt.bptt.engines.segment import Inputs, Segment
from xpbptt.bptt.engines.tape import Tape
from xpbptt.bptt.layers.layer import Array, Namespace, Tree
from xpbptt.cells.recurrence import FEW, Recurrence
from xpbptt.kernels import Compiled, Kind


def prepare(
    of: Recurrence,  # noqa: ARG001 - as the others
    compiled: Compiled,
    params: Tree,
    steps: int,
    *,
    xp: Namespace,  # noqa: ARG001 - the contract's
) -> Array:
    """Return W_hhᵀ, contiguous where so many products pay for the copy; see `Engine`."""
    weight = params.weight_hh.T
    return weight if steps < FEW else compiled.target.plain(weight)


def advance(
    of: Recurrence,
    compiled: Compiled,
    inputs: Inputs,
    marks: Sequence[int],
    state: Tree,
    outputs: Tape | None,
    most: int,
    *,
    xp: Namespace,
) -> tuple[list[Tree], Tree]:
    """Run forward; see `Engine`."""
    most = min(most, most_steps(compiled, inputs))
    written = () if outputs is None else outputs.stacked()
    kept = named(compiled.forward.states[: len(written)], written)
    return _forward(of, compiled, "advance", inputs, marks, state, kept, {}, most, xp=xp)


def record(
    of: Recurrence, compiled: Compiled, inputs: Inputs, state: Tree, *, xp: Namespace
) -> tuple[Segment, Tree]:
    """Run forward and keep everything; see `Engine`."""
    size, most = state[0].shape[-1], most_steps(compiled, inputs)
    states = empty(compiled.forward.states, inputs, size, xp=xp, more=1)
    residuals = empty(compiled.forward.residuals, inputs, size, xp=xp)
    _, last = _forward(of, compiled, "record", inputs, (), state, states, residuals, most, xp=xp)
    kept = Tape.of(tuple(states.values()), xp=xp), Tape.of(tuple(residuals.values()), xp=xp)
    return Segment(*kept), last


def step(
    of: Recurrence,
    compiled: Compiled,
    params: Tree,
    x_t: Array,
    state: Tree,
    *,
    xp: Namespace,  # noqa: ARG001 - the contract's
) -> Tree:
    """Advance by one step; see `Engine`."""
    *weights, extra = params
    make = compiled.target.empty
    new = of.state(*[make(part.shape, part.dtype) for part in state])
    compiled.single(x_t, *weights, *extra, *state, *new)
    return new


def _forward(
    of: Recurrence,
    compiled: Compiled,
    kind: Kind,
    inputs: Inputs,
    marks: Sequence[int],
    state: Tree,
    states: Buffers,
    residuals: Buffers,
    most: int,
    *,
    xp: Namespace,
) -> tuple[list[Tree], Tree]:
    """Run forward, at most `most` steps at once; return the states at the marks and the last one.

    `states` and `residuals` are the buffers of all steps that are kept. The other states are there
    for a chunk only, in the same memory each time.
    """
    target, kernel, places = compiled.target, compiled.kernels[kind], compiled.forward.states
    length, size = inputs.x.shape[0], state[0].shape[-1]
    pieces = [slice(0, length)] if 0 < length <= most else chunks(length, most)
    first = inputs if len(pieces) == 1 else inputs.part(slice(0, min(most, length)))
    others = empty(places[len(states) :], first, size, xp=xp, more=1)
    u, v = empty(compiled.forward.products, first, size, xp=xp).values()
    weight_ih = inputs.params.weight_ih.T
    snapshots = []
    for steps in pieces:
        one = first if len(pieces) == 1 else inputs.part(steps)
        x = one.x if one.mask is None else blank(one.x, one.mask, xp=xp)
        count = x.shape[0]
        here = part(states, steps, 1) | part(others, slice(0, count), 1)
        now = list(here.values())
        for buffer, before in zip(now, state, strict=True):
            buffer[0, ...] = before
        here |= part(residuals, steps) | given(compiled, one)
        here |= {"u": u[:count, ...], "v": v}
        rows = xp.reshape(x, (-1, x.shape[-1]))
        target.multiply(rows, weight_ih, xp.reshape(here["u"], (-1, u.shape[-1])))
        buffers = [here[name] for name in kernel.names]
        target.forward(kernel.run, buffers, now[0][:-1, ...], inputs.weights, v)
        inside = marks[bisect_left(marks, steps.start) : bisect_left(marks, steps.stop)]
        snapshots += [_state(of, now, t - steps.start, xp=xp) for t in inside]
        state = of.state(*[buffer[-1, ...] for buffer in now])
    return snapshots, of.state(*[xp.asarray(each, copy=True) for each in state])


def _state(of: Recurrence, states: Iterable[Array], t: int, *, xp: Namespace) -> Tree:
    """Return a copy of the state before step `t`."""
    return of.state(*(xp.asarray(each[t, ...], copy=True) for each in states))
