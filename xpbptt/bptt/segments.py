"""Runs over a part of a sequence: forward, keeping everything or nothing, and back."""

from typing import Any, NamedTuple

from xpbptt._norms import clip, norm
from xpbptt._tree import map_leaves
from xpbptt.bptt.layer import Array, Namespace, Tree, Watch
from xpbptt.bptt.masks import masked
from xpbptt.bptt.recurrence import Recurrence
from xpbptt.bptt.tape import Tape
from xpbptt.bptt.trace import Trace, gate_norms

CHUNK = 32  # steps whose input products are made at once, where they need not all be


class Inputs(NamedTuple):
    """What a layer reads.

    Attributes
    ----------
    params : tree of arrays
        The parameters.
    x : array (T, B, I)
        The whole input.
    mask : array (T, B) or None
        Its mask.
    weights : object
        What the recurrence prepared of the parameters for running forward.
    """

    params: Tree
    x: Array
    mask: Array | None
    weights: Any = None

    @classmethod
    def read(
        cls, recurrence: Recurrence, params: Tree, x: Array, mask: Array | None, *, xp: Namespace
    ) -> "Inputs":
        """Prepare the parameters for running forward."""
        return cls(params, x, mask, recurrence.prepare(params, x.shape[0], xp=xp))

    def cell(self, recurrence: Recurrence, steps: slice) -> Recurrence:
        """Return the recurrence as it runs over `steps`."""
        return recurrence if self.mask is None else masked(recurrence, self.mask[steps, ...])


class Segment(NamedTuple):
    """Steps that were kept: the states before each and after the last, and the residuals or None.

    The residuals are computed again if they are None.
    """

    states: Tape
    residuals: Tape | None

    def part(self, start: int, stop: int, *, xp: Namespace) -> "Segment":
        """Return the steps from `start` to before `stop`, all of them or without residuals."""
        if (start, stop + 1) == (0, self.states.length):
            return self
        return Segment(Tape.of(self.states.stacked(start, stop + 1), xp=xp), None)


class Back(NamedTuple):
    """What every segment of a backward pass needs: the whole dy (T, B, H), and how to go."""

    dy: Array
    truncate: int | None
    watch: Watch


class Retraced(NamedTuple):
    """The gradients that come out of a segment, and their norms on the way if they are wanted."""

    params: Tree
    x: Array
    state: Tree
    trace: Trace | None = None


def advance(
    recurrence: Recurrence,
    inputs: Inputs,
    steps: slice,
    state: Tree,
    *,
    xp: Namespace,
    outputs: Tape | None = None,
) -> Tree:
    """Run over `steps` and keep nothing, but write to `outputs` as many parts as it has."""
    for first in range(steps.start, steps.stop, CHUNK):
        chunk = slice(first, min(first + CHUNK, steps.stop))
        cell = inputs.cell(recurrence, chunk)
        projected = cell.project(inputs.params, inputs.x[chunk, ...], xp=xp)
        for t, u in enumerate(projected, first):
            state, _ = cell.step(inputs.weights, u, state, xp=xp)
            if outputs is not None:
                outputs.write(t + 1, state[: outputs.parts])
        del projected, u  # or two chunks are there at once
    return state


def sweep(
    recurrence: Recurrence,
    inputs: Inputs,
    marks: tuple[int, ...],
    stop: int,
    state: Tree,
    *,
    xp: Namespace,
    outputs: Tape | None = None,
) -> tuple[dict[int, Tree], Tree]:
    """Run from the first mark to `stop` and keep the state at each mark."""
    snapshots = {}
    for start, end in zip(marks, (*marks[1:], stop), strict=True):
        snapshots[start] = state
        steps = slice(start, end)
        state = advance(recurrence, inputs, steps, state, outputs=outputs, xp=xp)
    return snapshots, state


def record(
    recurrence: Recurrence,
    inputs: Inputs,
    steps: slice,
    state: Tree,
    *,
    xp: Namespace,
) -> tuple[Segment, Tree]:
    """Run over `steps` and keep everything."""
    cell, length = inputs.cell(recurrence, steps), steps.stop - steps.start
    states, residuals = Tape.starting(state, length + 1, xp=xp), Tape(length, xp=xp)
    for t, u in enumerate(cell.project(inputs.params, inputs.x[steps, ...], xp=xp)):
        state, kept = cell.step(inputs.weights, u, state, xp=xp)
        states.write(t + 1, state)
        residuals.write(t, kept)
    return Segment(states, residuals), state


def retrace(
    recurrence: Recurrence,
    inputs: Inputs,
    steps: slice,
    segment: Segment,
    back: Back,
    dstate: Tree,
    *,
    xp: Namespace,
) -> Retraced:
    """Go back over `steps`, from the gradient of the state after them to that before them."""
    cell, length = inputs.cell(recurrence, steps), steps.stop - steps.start
    x, states = inputs.x[steps, ...], segment.states
    if length == 0:
        return Retraced(map_leaves(xp.zeros_like, inputs.params), xp.zeros_like(x), dstate)
    before_each = states.stacked(0, length)
    residuals = segment.residuals
    if residuals is None:
        residuals = Tape.of(cell.recompute(inputs.params, x, before_each, xp=xp), xp=xp)
    records, norms = Tape(length, xp=xp), Tape(length, xp=xp)
    after = cell.state(*states.read(length))
    for t in reversed(range(length)):
        before = cell.state(*states.read(t))
        dh, *drest = dstate
        dnew = cell.state(dh + back.dy[steps.start + t, ...], *drest)
        record, dstate = cell.step_backward(
            inputs.params, residuals.read(t), before, after, dnew, xp=xp
        )
        records.write(t, record)
        if back.watch.trace:
            norms.write(t, tuple(norm([part], xp=xp) for part in dnew))
        dstate = _cut(cell, dstate, steps.start + t, back, xp=xp)
        after = before
    dparams, dx = cell.accumulate(inputs.params, x, before_each, records.stacked(), xp=xp)
    trace = None
    if back.watch.trace:
        trace = Trace(cell.state(*norms.stacked()), gate_norms(cell, records.stacked(), xp=xp))
    return Retraced(dparams, dx, dstate, trace)


def _cut(cell: Recurrence, dstate: Tree, t: int, back: Back, *, xp: Namespace) -> Tree:
    """Clip the gradient that step `t` hands back, or cut it off where it is truncated."""
    if back.watch.clip is not None:
        parts, _ = clip(list(dstate), back.watch.clip, -1, xp=xp)
        dstate = cell.state(*parts)
    if back.truncate and t and t % back.truncate == 0:
        dstate = cell.state(*(xp.zeros_like(part) for part in dstate))
    return dstate
