"""The engines of compiled cells: the buffers around a loop over time, which is the target's.

All steps share a few buffers, made beforehand, and the loop is given them whole. What is not kept
is there for a chunk of steps only, in the same memory each time.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from xpbptt._arrays.types import AnyArray, Namespace, Tree
from xpbptt.bptt.engines.buffers import (
    Buffers,
    empty,
    given,
    most_steps,
    multiplied,
    named,
    noise,
    part,
)
from xpbptt.bptt.engines.chunks import chunks
from xpbptt.bptt.engines.segment import Inputs, Segment
from xpbptt.bptt.engines.tape import Tape
from xpbptt.bptt.layers.passes import Steps
from xpbptt.cells.recurrence import Recurrence
from xpbptt.kernels import Compiled, Kind
from xpbptt.kernels.target import Call


def prepare(
    of: Recurrence,  # noqa: ARG001 - as the others
    compiled: Compiled,
    params: Tree,
    steps: int,
    *,
    xp: Namespace,  # noqa: ARG001 - the contract's
) -> Any:
    """Return the weights as the loop reads them; see `Engine`."""
    return compiled.loop.pack(len(compiled.cell.gates._fields), params, steps)


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
) -> Steps[tuple[list[Tree], Tree]]:
    """Run forward; see `Engine`."""
    most = min(most, most_steps(compiled.loop.at_once, inputs))
    written = () if outputs is None else outputs.stacked()
    kept = named(compiled.forward.states[: len(written)], written)
    found = yield from _forward(
        of, compiled, "advance", inputs, marks, state, kept, {}, most, xp=xp
    )
    return found


def record(
    of: Recurrence, compiled: Compiled, inputs: Inputs, state: Tree, *, xp: Namespace
) -> Steps[tuple[Segment, Tree]]:
    """Run forward and keep everything; see `Engine`."""
    most = most_steps(compiled.loop.at_once, inputs)
    states = empty(compiled, compiled.forward.states, inputs, xp=xp, more=1)
    residuals = empty(compiled, compiled.forward.residuals, inputs, xp=xp)
    _, last = yield from _forward(
        of, compiled, "record", inputs, (), state, states, residuals, most, xp=xp
    )
    return Segment(tuple(states.values()), tuple(residuals.values())), last


def step(
    of: Recurrence,
    compiled: Compiled,
    params: Tree,
    x_t: AnyArray,
    state: Tree,
    *,
    xp: Namespace,  # noqa: ARG001 - the contract's
) -> Tree:
    """Advance by one step; see `Engine`."""
    make = compiled.target.empty
    new = of.state(*[make(part.shape, part.dtype, like=part) for part in state])
    compiled.single(x_t, params, state, new)
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
) -> Steps[tuple[list[Tree], Tree]]:
    """Run forward, at most `most` steps at once; return the states at the marks and the last one.

    `states` and `residuals` are the buffers of all steps that are kept. The other states are there
    for a chunk only, in the same memory each time, or of two steps where nobody asks for more.
    """
    kernel, places = compiled.kernels[kind], compiled.forward.states
    length = inputs.x.shape[0]
    if compiled.loop.alternates and not marks:
        most = length
    pieces = [slice(0, length)] if 0 < length <= most else chunks(length, most)
    first = inputs if len(pieces) == 1 else inputs.part(slice(0, min(most, length)))
    rows = 1 if compiled.loop.alternates and not marks else first.x.shape[0]
    others = {}
    if len(states) < len(places):
        few = inputs.part(slice(0, rows))
        others = empty(compiled, places[len(states) :], few, xp=xp, more=1)
    projected = empty(compiled, compiled.forward.projected, first, xp=xp)
    snapshots = []
    for steps in pieces:
        one = first if len(pieces) == 1 else inputs.part(steps)
        count = one.x.shape[0]
        here = states if len(pieces) == 1 else part(states, steps, 1)
        here = here | part(others, slice(0, count), 1) if others else here.copy()
        now = list(here.values())
        for buffer, before in zip(now, state, strict=True):
            buffer[0, ...] = before
        here |= residuals if len(pieces) == 1 else part(residuals, steps)
        here |= projected | given(compiled, one) | noise(one, state, xp=xp)
        x = multiplied(compiled, one.x)
        arguments = kernel, x, inputs.params, inputs.weights, here
        yield Call(compiled.loop.forward, arguments, compiled.loop.pair)
        inside = marks[bisect_left(marks, steps.start) : bisect_left(marks, steps.stop)]
        rows = ([part[t - steps.start, ...] for part in now] for t in inside)
        snapshots += [of.state(*[_copy(compiled, part) for part in row]) for row in rows]
        last = [buffer[count if len(buffer) > count else count % 2, ...] for buffer in now]
        state = of.state(*last)
    return snapshots, of.state(*[_copy(compiled, each) for each in state])


def _copy(compiled: Compiled, array: AnyArray) -> AnyArray:
    new = compiled.target.empty(array.shape, array.dtype, like=array)
    new[...] = array
    return new
