"""The mask of a padded batch, from the lengths of its sequences."""

from typing import Any

import array_api_compat
import numpy as np

from xpbptt import _check
from xpbptt.backends import standard

Array = Any
Namespace = Any


def length_mask(lengths: Array, steps: int, *, xp: Namespace = None) -> Array:
    """Make the mask of sequences that were padded on the right.

    Parameters
    ----------
    lengths : array (B,) or sequence of int
        The number of steps of each sequence, from 0 to T. In an array of another library than
        NumPy they are not checked, which would mean to wait for the device: there a length above T
        counts as T, one below 0 as 0.
    steps : int
        The number of time steps T with the padding.
    xp : namespace, optional
        The array library of the mask. NumPy's arrays and sequences, which are on the host, are
        taken there; any other array must be one of `xp`. Default: that of `lengths`, or NumPy.

    Returns
    -------
    mask : array (T, B)
        Boolean, True in the first steps of each sequence, on the device of `lengths` where that is
        an array of the same library.

    Raises
    ------
    TypeError, ValueError
        Where `lengths` has the wrong shape, holds no integers, is out of range, or is of another
        library than NumPy and `xp`.

    Examples
    --------
    >>> import xpbptt
    >>> xpbptt.length_mask([2, 0, 1], 3).astype(int).tolist()
    [[1, 0, 1], [1, 0, 0], [0, 0, 0]]
    """
    _check.whole("steps", steps, at_least=0)
    wanted = None if xp is None else standard(xp)
    if not array_api_compat.is_array_api_obj(lengths):
        lengths = _lengths(lengths, steps, xp=standard(np) if wanted is None else wanted)
    xp = _check.array_namespace("lengths", lengths)
    _check.rank("lengths", lengths, "(B)")
    if not xp.isdtype(lengths.dtype, "integral"):
        message = f"`lengths` must be an array of integers, got dtype {lengths.dtype}"
        raise TypeError(message)
    if array_api_compat.is_numpy_array(lengths):
        xp = xp if wanted is None else wanted
        lengths = _lengths(lengths.tolist(), steps, xp=xp)
    elif wanted is not None and wanted is not xp:
        message = (
            f"`lengths` is an array of {_check.library(xp)}, but `xp` is "
            f"{_check.library(wanted)}: convert it, nothing is converted silently"
        )
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
    _check.in_range("lengths", wrong, f"from 0 to T = {steps}")
    return xp.asarray(numbers, dtype=xp.int64)
