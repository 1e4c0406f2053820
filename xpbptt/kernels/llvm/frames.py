"""The words that a compiled function is given: whole numbers, and the addresses of arrays."""

from collections.abc import Iterable, Sequence
from ctypes import addressof, c_char
from functools import cache
from struct import Struct
from typing import Any

import numpy as np

from xpbptt.kernels.program import Program


def plain(array: Any) -> Any:
    """Return the array as a function takes it: contiguous, aligned, writable, not a subclass."""
    if type(array) is np.ndarray and array.flags.carray:
        return array
    return np.require(array, requirements=["C", "A", "W", "E"])


def address(array: Any) -> int:
    """Return the address of an array's first element."""
    (place,) = addresses((array,))
    return place


def addresses(arrays: Iterable[Any]) -> list[int]:
    """Return the addresses of the arrays' first elements."""
    return [
        addressof(c_char.from_buffer(array))  # a fifth of the time of the general way
        if array.flags.carray and array.size
        else array.__array_interface__["data"][0]
        for array in arrays
    ]


def words(values: Sequence[int]) -> bytes:
    """Return whole numbers and addresses as a function takes them."""
    return _form(len(values)).pack(*values)


@cache
def _form(count: int) -> Struct:
    return Struct(f"{count}q")


def batch_axes(program: Program) -> dict[str, int]:
    """Return the axis of the sequences of each buffer that has one."""
    read, written = program.buffers()
    return {each.name: each.axes.index("b") for each in (*read, *written) if "b" in each.axes}
