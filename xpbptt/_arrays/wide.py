"""The dtype of sums: half precision ends at 65504, and counts exactly only to 2048."""

from typing import Any

from xpbptt._arrays.types import AnyArray, Namespace

SINGLE_BITS = 32


def wide_dtype(dtype: Any, *, xp: Namespace) -> Any:
    """Return float32 for a floating-point dtype that is narrower, otherwise the dtype itself."""
    return xp.float32 if xp.finfo(dtype).bits < SINGLE_BITS else dtype


def widened(array: AnyArray, *, xp: Namespace) -> AnyArray:
    """Return the array in its `wide_dtype`; the array itself where that is its own."""
    wide = wide_dtype(array.dtype, xp=xp)
    return array if array.dtype == wide else xp.astype(array, wide)


def narrowed(array: AnyArray, dtype: Any, *, xp: Namespace) -> AnyArray:
    """Return a result in the wide dtype as an array, not a scalar, of `dtype`."""
    return xp.astype(xp.asarray(array), dtype, copy=False)
