"""Masks: time steps that leave the state alone, whatever their input holds.

A mask is a boolean array (T, B). Where it is False, the state passes the step unchanged, the
output is zero, and no gradient touches the parameters or the input; the input's values there,
NaN among them, leave no trace.
"""

from operator import add, mul, sub
from typing import Any

import array_api_compat
import numpy as np

from xpbptt import _check
from xpbptt.backends import standard
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


def length_mask(lengths: Array, steps: int, *, xp: Namespace = None) -> Array:
    """Make the mask of sequences that were padded on the right.

    Parameters
    ----------
    lengths : array (B,) or sequence of int
        The number of steps of each sequence, from 0 to T. In an array they are not checked, which
        would mean to wait for the device: a length above T counts as T, one below 0 as 0.
    steps : int
        The number of time steps T with the padding.
    xp : namespace, optional
        The array library of the mask, where `lengths` is no array. Default: NumPy.

    Returns
    -------
    mask : array (T, B)
        Boolean, True in the first steps of each sequence, on the device of `lengths`.

    Raises
    ------
    TypeError, ValueError
        Where `lengths` has the wrong shape, holds no integers, or is out of range.

    Examples
    --------
    >>> import xpbptt
    >>> xpbptt.length_mask([2, 0, 1], 3).astype(int).tolist()
    [[1, 0, 1], [1, 0, 0], [0, 0, 0]]
    """
    _check.whole("steps", steps, at_least=0)
    if not array_api_compat.is_array_api_obj(lengths):
        lengths = _lengths(lengths, steps, xp=standard(np if xp is None else xp))
    xp = _check.array_namespace("lengths", lengths)
    _check.rank("lengths", lengths, "(B)")
    if not xp.isdtype(lengths.dtype, "integral"):
        message = f"`lengths` must be an array of integers, got dtype {lengths.dtype}"
        raise TypeError(message)
    numbers = xp.arange(steps, device=array_api_compat.device(lengths))
    return numbers[:, None] < xp.astype(lengths, numbers.dtype)[None, :]


def _lengths(lengths: Any, steps: int, *, xp: Namespace) -> Array:
    """Make an array of lengths that are on the host, and check them there."""
    try:
        numbers = [int(length) for length in lengths if length == int(length)]
        complete = len(numbers) == len(lengths)
    except (TypeError, ValueError, OverflowError):
        complete = False
    if not complete:
        message = f"`lengths` must be a sequence of ints or an array of integers, got {lengths!r}"
        raise TypeError(message)
    wrong = [number for number in numbers if not 0 <= number <= steps]
    if wrong:
        message = f"`lengths` must be from 0 to T = {steps}, got {wrong}"
        raise ValueError(message)
    return xp.asarray(numbers, dtype=xp.int64)
