"""Masks: time steps that leave the state alone, whatever their input holds.

A mask is a boolean array (T, B). Where it is False, the state passes the step unchanged, the
output is zero, and no gradient touches the parameters or the input; the input's values there,
NaN among them, leave no trace. Nothing is left out or sorted: a masked step is computed like any
other, and not taken.
"""

from typing import Any

import array_api_compat

from xpbptt._arrays.types import AnyArray, Arrays, Namespace


def blank(array: AnyArray, mask: AnyArray | None, *, xp: Namespace) -> AnyArray:
    """Return `array` (T, B, …) with zeros where the mask (T, B) is False; or both without T."""
    if mask is None:
        return array
    for _ in array.shape[len(mask.shape) :]:
        mask = mask[..., None]
    return xp.where(mask, array, _zero(array, xp=xp))


def columns(mask: AnyArray | None) -> AnyArray | None:
    """Return the mask as (T, B, 1), to be chosen by along the units."""
    return None if mask is None else mask[..., None]


def held(column: AnyArray | None, new: Any, state: Any, *, xp: Namespace) -> Any:
    """Return `new` where the step counts, and what `state` was where not.

    Forward these are the states after and before the step; backward they are the gradients of the
    state before and after it.
    """
    if column is None:
        return new
    return type(state)(*map(xp.where, (column,) * len(state), new, state))


def taken(column: AnyArray | None, dnew: Any, *, xp: Namespace) -> Any:
    """Return what of the gradient of the state after a step goes through the step."""
    if column is None:
        return dnew
    zero = _zero(dnew[0], xp=xp)
    return type(dnew)(*(xp.where(column, part, zero) for part in dnew))


def counted(records: Arrays, mask: AnyArray | None, *, xp: Namespace) -> Arrays:
    """Return the records of a step (B, …), or of all (T, B, …), with zeros where it is masked.

    A cell may have made NaN of the zeros that arrive there, as where it divides by a state.
    """
    return tuple([blank(each, mask, xp=xp) for each in records])


def _zero(like: AnyArray, *, xp: Namespace) -> AnyArray:
    return xp.zeros((1,), dtype=like.dtype, device=array_api_compat.device(like))
