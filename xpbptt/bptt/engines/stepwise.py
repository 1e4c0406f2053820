"""The engine `stepwise`: compiled cells, one product and one kernel a step.

All steps share a few buffers, made beforehand; a kernel is given them whole, with the number of
the step. Long sequences are run in chunks that stay in the cache.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from xpbptt._arrays.tree import copied
from xpbptt.bptt.engines.buffers import Buffers, at, empty, given, named
from xpbptt.bptt.engines.chunks import chunks, longest
from xpbptt.bptt.engines.masks import blank
from xpbptt.bptt.engines.segment import Inputs, Segment
from xpbptt.bptt.engines.tape import Tape
from xpbptt.bptt.layers.layer import Array, Namespace, Tree
from xpbptt.cells.recurrence import Recurrence, flat
from xpbptt.kernels import Compiled, Kind


def prepare(
    of: Recurrence,
    compiled: Compiled,  # noqa: ARG001 - as the others
    params: Tree,
    steps: int,
    *,
    xp: Namespace,
) -> Array:
    """Return W_hhᵀ, see `Engine`."""
    return of.prepare(params, steps, xp=xp).weight


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
    return _forward(of, compiled, "advance", inputs, marks, state, kept, most, xp=xp)


def record(
    of: Recurrence, compiled: Compiled, inputs: Inputs, state: Tree, *, xp: Namespace
) -> tuple[Segment, Tree]:
    """Run forward and keep everything; see `Engine`."""
    states = empty(compiled.forward.states, inputs, state, xp=xp, more=1)
    residuals = empty(compiled.forward.residuals, inputs, state, xp=xp)
    kept, most = states | residuals, most_steps(compiled, inputs)
    _, last = _forward(of, compiled, "record", inputs, (), state, kept, most, xp=xp)
    tapes = (Tape.of(tuple(parts.values()), xp=xp) for parts in (states, residuals))
    return Segment(*tapes), last


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
    kept: Buffers,
    most: int,
    *,
    xp: Namespace,
) -> tuple[list[Tree], Tree]:
    """Run forward, at most `most` steps at once; return the states at the marks and the last one.

    `kept` has the buffers of all steps. The other states are there for a chunk only, in the same
    memory each time.
    """
    target, kernel, places = compiled.target, compiled.kernels[kind], compiled.forward.states
    length = inputs.x.shape[0]
    first = inputs.part(slice(0, min(most, length)))
    passing = [place for place in places if place.name not in kept]
    others = empty(passing, first, state, xp=xp, more=1)
    u, v = empty(compiled.forward.products, first, state, xp=xp).values()
    weight_ih = inputs.params.weight_ih.T
    snapshots = []
    for steps in chunks(length, most):
        part = inputs.part(steps)
        x = blank(part.x, part.mask, xp=xp)
        here = at(kept, places, steps) | at(others, places, slice(0, x.shape[0]))
        here |= {"u": u[: x.shape[0], ...], "v": v}
        states = [here[place.name] for place in places]
        for buffer, before in zip(states, state, strict=True):
            buffer[0, ...] = before
        target.multiply(flat(x, xp=xp), weight_ih, flat(here["u"], xp=xp))
        buffers = kernel.order(here | given(compiled, part))
        target.forward(kernel.run, buffers, states[0][:-1, ...], inputs.weights, v)
        inside = marks[bisect_left(marks, steps.start) : bisect_left(marks, steps.stop)]
        snapshots += [_state(of, states, t - steps.start, xp=xp) for t in inside]
        state = of.state(*(buffer[-1, ...] for buffer in states))
    return snapshots, copied(state, xp=xp)


def most_steps(compiled: Compiled, inputs: Inputs) -> int:
    """Return the most steps of a chunk."""
    length, batch, _ = inputs.x.shape
    if compiled.target.at_once is None:
        return max(1, int(length))  # of an empty segment, too
    return longest(batch, inputs.params.weight_hh.shape[0], compiled.target.at_once)


def _state(of: Recurrence, states: Iterable[Array], t: int, *, xp: Namespace) -> Tree:
    """Return a copy of the state before step `t`."""
    return of.state(*(xp.asarray(part[t, ...], copy=True) for part in states))
