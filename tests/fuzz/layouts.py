"""The same numbers as they may lie in memory."""

import numpy as np


def plain(array):
    return array.copy()


def fortran(array):
    return array.copy(order="F")


def strided(array):
    return np.repeat(array, 2, axis=-1)[..., ::2]


def reverse_strides(array):
    return np.flip(np.flip(array).copy())


def padded(array):
    """A part of a larger array, which is NaN or True elsewhere."""
    rest = True if array.dtype == bool else np.nan
    whole = np.full([size + 2 for size in array.shape], rest, array.dtype)
    part = whole[(slice(1, -1),) * array.ndim]
    part[...] = array
    return part


def frozen(array):
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def misaligned(array):
    """Numbers that start at an odd address."""
    memory = np.empty(array.nbytes + 1, np.uint8)
    moved = memory[1:].view(array.dtype).reshape(array.shape)
    moved[...] = array
    return moved


LAYOUTS = {
    layout.__name__: layout
    for layout in (plain, fortran, strided, reverse_strides, padded, frozen, misaligned)
}
