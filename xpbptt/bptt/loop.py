"""The one loop over time, and its backward pass."""

from typing import Any, NamedTuple

from xpbptt._tree import map_leaves
from xpbptt.bptt.layer import Array, Gradients, Layer, Namespace, Tree
from xpbptt.bptt.masks import blank, masked
from xpbptt.bptt.recurrence import Recurrence
from xpbptt.bptt.tape import Tape


class LoopCache(NamedTuple):
    """What the backward pass needs: the inputs, the T + 1 states and the residuals."""

    params: Tree
    x: Array
    mask: Array | None
    states: Tape
    residuals: Tape


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

    def over(mask: Array | None) -> Recurrence:
        return recurrence if mask is None else masked(recurrence, mask)

    def forward(
        params: Tree, x: Array, state: Tree, mask: Array | None, *, xp: Namespace
    ) -> tuple[Array, Tree, Any]:
        cell, steps = over(mask), x.shape[0]
        states, residuals = Tape(steps + 1, xp=xp), Tape(steps, xp=xp)
        states.write(0, state)
        weights = cell.prepare(params, xp=xp)
        for t, inputs in enumerate(cell.project(params, x, xp=xp)):
            state, kept = cell.step(weights, inputs, state, xp=xp)
            states.write(t + 1, state)
            residuals.write(t, kept)
        y = blank(states.stacked(1)[0], mask, xp=xp)
        return y, state, LoopCache(params, x, mask, states, residuals)

    def backward(cache: LoopCache, dy: Array, dstate: Tree, *, xp: Namespace) -> Gradients:
        params, x, mask, states, residuals = cache
        cell, steps = over(mask), x.shape[0]
        if steps == 0:
            return Gradients(map_leaves(xp.zeros_like, params), xp.zeros_like(x), dstate)
        records, dy = Tape(steps, xp=xp), blank(dy, mask, xp=xp)
        after = cell.state(*states.read(steps))
        for t in reversed(range(steps)):
            before = cell.state(*states.read(t))
            dh, *drest = dstate
            record, dstate = cell.step_backward(
                params,
                residuals.read(t),
                before,
                after,
                cell.state(dh + dy[t, ...], *drest),
                xp=xp,
            )
            records.write(t, record)
            after = before
        dparams, dx = cell.accumulate(params, x, states.stacked(0, steps), records.stacked(), xp=xp)
        return Gradients(dparams, dx, dstate)

    def infer(
        params: Tree, x: Array, state: Tree, mask: Array | None, *, xp: Namespace
    ) -> tuple[Array, Tree]:
        cell = over(mask)
        outputs = Tape(x.shape[0] + 1, xp=xp)
        outputs.write(0, state[:1])
        weights = cell.prepare(params, xp=xp)
        for t, inputs in enumerate(cell.project(params, x, xp=xp)):
            state, _ = cell.step(weights, inputs, state, xp=xp)
            outputs.write(t + 1, state[:1])
        return blank(outputs.stacked(1)[0], mask, xp=xp), state

    def step(params: Tree, x_t: Array, state: Tree, *, xp: Namespace) -> tuple[Array, Tree]:
        weights = recurrence.prepare(params, xp=xp)
        (inputs,) = recurrence.project(params, x_t[None, ...], xp=xp)
        state, _ = recurrence.step(weights, inputs, state, xp=xp)
        return state[0], state

    return Layer(forward, backward, infer, step)
