"""A tape: what the steps of a loop produce, one (T, …) array for each part.

Where the library can write into arrays, the (T, …) arrays are made once, at the first step, and
every step copies its rows there. Where it cannot (JAX), the rows are collected and stacked.
Nothing is written through a view, which the standard leaves open whether it is a copy.
"""

from typing import Any

import array_api_compat

Array = Any
Arrays = tuple[Array, ...]


class Tape:
    """Tuples of arrays for `length` steps, each written once and read afterwards.

    Parameters
    ----------
    length : int
        The number of steps T.
    xp : namespace
        The arrays' namespace.
    """

    __slots__ = ("_parts", "_writable", "length", "xp")

    def __init__(self, length: int, *, xp: Any) -> None:
        self.length = length
        self.xp = xp
        self._parts: tuple[Any, ...] | None = None  # (T, …) arrays, or lists of T rows
        self._writable = False

    def write(self, t: int, rows: Arrays) -> None:
        """Keep the rows of step `t`."""
        if self._parts is None:
            self._parts = tuple(self._allocate(row) for row in rows)
        for part, row in zip(self._parts, rows, strict=True):
            part[(t, ...) if self._writable else t] = row

    def read(self, t: int) -> Arrays:
        """Return the rows of step `t`."""
        if self._parts is None:
            return ()
        return tuple(part[(t, ...) if self._writable else t] for part in self._parts)

    def stacked(self, start: int = 0, stop: int | None = None) -> Arrays:
        """Return the steps from `start` to before `stop` as (T, …) arrays."""
        steps = slice(start, self.length if stop is None else stop)
        if self._parts is None:
            return ()
        if self._writable:
            return tuple(part[steps, ...] for part in self._parts)
        return tuple(self._stack(part[steps], like=part[0]) for part in self._parts)

    def _allocate(self, row: Array) -> Any:
        device = array_api_compat.device(row)
        array = self.xp.empty((self.length, *row.shape), dtype=row.dtype, device=device)
        self._writable = array_api_compat.is_writeable_array(array)
        return array if self._writable else [None] * self.length

    def _stack(self, rows: list[Array], *, like: Array) -> Array:
        if rows:
            return self.xp.stack(rows, axis=0)
        device = array_api_compat.device(like)
        return self.xp.zeros((0, *like.shape), dtype=like.dtype, device=device)
