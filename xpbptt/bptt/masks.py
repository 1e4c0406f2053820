"""Masks: time steps that leave the state alone, whatever their input holds.

A mask is a boolean array (T, B). Where it is False, the state passes the step unchanged, the
output is zero, and no gradient touches the parameters or the input; the input's values there,
NaN among them, leave no trace.
"""

from operator import add, mul, sub
from typing import Any

from xpbptt.bptt.layer import Array, Namespace, Tree
from xpbptt.bptt.recurrence import Recurrence


def blank(array: Array, mask: Array | None, *, xp: Namespace) -> Array:
    """Return `array` (T, B, …) with zeros where the mask (T, B) is False."""
    if mask is None:
        return array
    return xp.where(mask[..., None], array, xp.zeros_like(array))


def masked(recurrence: Recurrence, mask: Array) -> Recurrence:
    """Hold the state of `recurrence` where `mask` (T, B) is False.

    The step goes on as if nothing were masked, on a blank input, and its result is not taken; in
    the backward pass its part of the gradient is zero and the state's gradient goes past it.
    """
    columns = mask[..., None]

    def project(params: Tree, x: Array, *, xp: Namespace) -> list[Any]:
        inputs = recurrence.project(params, blank(x, mask, xp=xp), xp=xp)
        numbers = xp.astype(columns, x.dtype)
        return [(columns[t, ...], numbers[t, ...], u) for t, u in enumerate(inputs)]

    def step(
        weights: Any, inputs: tuple[Array, Array, Any], state: Any, *, xp: Namespace
    ) -> tuple[Any, tuple[Array, ...]]:
        keep, number, u = inputs
        new, residuals = recurrence.step(weights, u, state, xp=xp)
        held = map(xp.where, (keep,) * len(new), new, state)
        return recurrence.state(*held), (number, *residuals)

    def step_backward(
        params: Tree, residuals: tuple[Array, ...], state: Any, new: Any, dnew: Any, *, xp: Any
    ) -> tuple[tuple[Array, ...], Any]:
        number, *kept = residuals
        taken = recurrence.state(*map(mul, dnew, (number,) * len(dnew)))
        record, dstate = recurrence.step_backward(params, kept, state, new, taken, xp=xp)
        passed = map(sub, dnew, taken)
        return record, recurrence.state(*map(add, dstate, passed))

    def accumulate(
        params: Tree, x: Array, states: tuple[Array, ...], records: tuple[Array, ...], *, xp: Any
    ) -> tuple[Tree, Array]:
        return recurrence.accumulate(params, blank(x, mask, xp=xp), states, records, xp=xp)

    def recompute(
        params: Tree, x: Array, states: tuple[Array, ...], *, xp: Namespace
    ) -> tuple[Array, ...]:
        residuals = recurrence.recompute(params, blank(x, mask, xp=xp), states, xp=xp)
        return (xp.astype(columns, x.dtype), *residuals)

    return recurrence._replace(
        project=project,
        step=step,
        step_backward=step_backward,
        accumulate=accumulate,
        recompute=recompute,
    )
