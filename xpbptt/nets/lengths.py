"""The mask of a padded batch, from the lengths of its sequences."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any, overload

import array_api_compat
import numpy as np

from xpbptt._arrays import check
from xpbptt._arrays.namespace import standard
from xpbptt._arrays.types import Array, Namespace


@overload
def length_mask(
    lengths: Sequence[int] | np.ndarray[Any, Any], steps: int, *, xp: None = None
) -> np.ndarray[tuple[int, int], np.dtype[np.bool]]: ...


@overload
def length_mask(
    lengths: Sequence[int] | Array, steps: int, *, xp: ModuleType | None = None
) -> Any: ...


def length_mask(lengths: Sequence[int] | Array, steps: int, *, xp: ModuleType | None = None) -> Any:
    """Make the mask of sequences that were padded on the right.

    Parameters
    ----------
    lengths : array (B,) or sequence of int
        The number of steps of each sequence, from 0 to T. They are not checked in an array of
        another library than NumPy, as that would wait for the device: there a length above T
        counts as T, one below 0 as 0.
    steps : int
        The number of time steps T with the padding.
    xp : namespace, optional
        The array library of the mask. Sequences and NumPy arrays are converted to it; any other
        array must already be one of `xp`. Default: that of `lengths`, or NumPy.

    Returns
    -------
    mask : array (T, B)
        Boolean, True in the first steps of each sequence, on the device of `lengths` where that is
        an array of the same library.

    Raises
    ------
    TypeError, ValueError
        Where `lengths` has the wrong shape, does not hold integers, is out of range, or is of
        another library than NumPy and `xp`.

    Examples
    --------
    >>> import xpbptt
    >>> xpbptt.length_mask([2, 0, 1], 3).astype(int).tolist()
    [[1, 0, 1], [1, 0, 0], [0, 0, 0]]
    """
    check.whole("steps", steps, at_least=0)
    wanted = None if xp is None else standard(xp)
    if not array_api_compat.is_array_api_obj(lengths):
        return _mask(_lengths(lengths, steps, xp=wanted or standard(np)), steps)
    namespace = check.array_namespace("lengths", lengths)
    array: Any = lengths
    check.rank("lengths", array, "(B)")
    if not namespace.isdtype(array.dtype, "integral"):
        message = f"`lengths` must be an array of integers, got dtype {array.dtype}"
        raise TypeError(message)
    if array_api_compat.is_numpy_array(array):
        return _mask(_lengths(array.tolist(), steps, xp=wanted or namespace), steps)
    if wanted is not None and wanted is not namespace:
        message = (
            f"`lengths` is an array of {check.library(namespace)}, but `xp` is "
            f"{check.library(wanted)}: convert it, nothing is converted silently"
        )
        raise TypeError(message)
    return _mask(array, steps)


def _mask(lengths: Any, steps: int) -> Any:
    xp = check.array_namespace("lengths", lengths)
    numbers = xp.arange(steps, device=array_api_compat.device(lengths))
    return numbers[:, None] < xp.astype(lengths, numbers.dtype)[None, :]


def _lengths(lengths: Any, steps: int, *, xp: Namespace) -> Any:
    """Check lengths that are on the host, and make an array of them."""
    try:
        numbers = [int(length) for length in lengths if length == int(length)]
        complete = len(numbers) == len(lengths)
    except (TypeError, ValueError, OverflowError):
        complete = False
    if not complete:
        message = f"`lengths` must be a sequence of ints or an array of integers, got {lengths!r}"
        raise TypeError(message)
    wrong = [number for number in numbers if not 0 <= number <= steps]
    check.in_range("lengths", wrong, f"from 0 to T = {steps}")
    return xp.asarray(numbers, dtype=xp.int64)
