"""Norms and clipping, relative to the largest element, so that no finite number overflows."""

from functools import reduce
from math import prod
from operator import add
from typing import Any

Array = Any
Namespace = Any
Axes = int | tuple[int, ...] | None


def norm(arrays: list[Array], axis: Axes = None, *, xp: Namespace) -> Array:
    """Return the Euclidean norm of the elements of all arrays together.

    Over some axes, which stay with length 1, or over all.
    """
    unit, root = _parts(arrays, axis, xp=xp)
    return unit * root


def clip(
    arrays: list[Array], limit: float, axis: Axes = None, *, xp: Namespace
) -> tuple[list[Array], Array]:
    """Scale all arrays down together to a norm of at most `limit`; also return the norm before.

    What is within the limit is not changed by a bit.
    """
    unit, root = _parts(arrays, axis, xp=xp)
    total = unit * root
    most = xp.full_like(total, min(limit, float(xp.finfo(total.dtype).max)))
    scale = most / xp.maximum(root, xp.ones_like(root))
    return [xp.where(total > most, (a / unit) * scale, a) for a in arrays], total


def _parts(arrays: list[Array], axis: Axes, *, xp: Namespace) -> tuple[Array, Array]:
    """Return the largest magnitude, or 1 if all are zero, and the norm relative to it."""
    keep = axis is not None
    filled = [array for array in arrays if prod(array.shape)]
    if not filled:
        nothing = xp.sum(arrays[0], axis=axis, keepdims=keep)
        return xp.ones_like(nothing), nothing
    tops = (xp.max(xp.abs(array), axis=axis, keepdims=keep) for array in filled)
    largest = reduce(xp.maximum, tops)
    unit = xp.where(largest > 0, largest, xp.ones_like(largest))
    relative = (array / unit for array in filled)
    squares = (xp.sum(r * r, axis=axis, keepdims=keep) for r in relative)
    return unit, xp.sqrt(reduce(add, squares))
