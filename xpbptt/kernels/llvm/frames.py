"""The words that a compiled function is given: whole numbers, and the addresses of arrays."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from xpbptt._arrays.types import AnyArray
from xpbptt.kernels.program import Program


def plain(array: Any) -> Any:
    """Return the array as a function takes it: contiguous, aligned, writable, not a subclass."""
    if type(array) is np.ndarray and array.flags.carray:
        return array
    return np.require(array, requirements=["C", "A", "W", "E"])


def address(array: Any) -> int:
    """Return the address of an array's first element."""
    return int(array.__array_interface__["data"][0])


def words(values: Iterable[int]) -> AnyArray:
    """Return whole numbers and addresses as a function takes them."""
    return np.array(list(values), dtype=np.int64)


def batch_axes(program: Program) -> dict[str, int]:
    """Return the axis of the sequences of each buffer that has one."""
    read, written = program.buffers()
    return {each.name: each.axes.index("b") for each in (*read, *written) if "b" in each.axes}
