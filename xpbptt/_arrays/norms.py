"""Norms and clipping, relative to the largest element, so that no finite number overflows.

Half precision is widened, so that sums over many elements do not overflow either.
"""

from functools import reduce
from math import prod
from operator import add

from xpbptt._arrays.types import AnyArray, Namespace
from xpbptt._arrays.wide import narrowed, widened

Axes = int | tuple[int, ...] | None


def norm(arrays: list[AnyArray], axis: Axes = None, *, xp: Namespace) -> AnyArray:
    """Return the Euclidean norm of the elements of all arrays together.

    The sum is over `axis`, which stays with length 1, or over all axes.
    """
    unit, root = _parts([widened(array, xp=xp) for array in arrays], axis, xp=xp)
    return narrowed(unit * root, arrays[0].dtype, xp=xp)


def clip(
    arrays: list[AnyArray], limit: float, axis: Axes = None, *, xp: Namespace
) -> tuple[list[AnyArray], AnyArray]:
    """Scale all arrays down together to a norm of at most `limit`; also return the norm before.

    Arrays within the limit come back with the same bits.
    """
    dtype = arrays[0].dtype
    wide = [widened(array, xp=xp) for array in arrays]
    unit, root = _parts(wide, axis, xp=xp)
    total = unit * root
    most = xp.full_like(total, min(limit, float(xp.finfo(total.dtype).max)))
    scale = most / xp.maximum(root, xp.ones_like(root))
    clipped = (xp.where(total > most, (a / unit) * scale, a) for a in wide)
    return [narrowed(a, dtype, xp=xp) for a in clipped], narrowed(total, dtype, xp=xp)


def _parts(arrays: list[AnyArray], axis: Axes, *, xp: Namespace) -> tuple[AnyArray, AnyArray]:
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
