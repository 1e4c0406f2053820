"""What the steps of a loop produce, one (T, …) array for each part.

Where the library can write into arrays, the (T, …) arrays are made once, at the first step, and
every step copies its rows there. Where it cannot (JAX), rows and arrays of rows are collected and
joined.
Nothing is written through a view, which the standard leaves open whether it is a copy.
"""

from itertools import groupby
from typing import Any, NamedTuple

import array_api_compat

from xpbptt._arrays.dual import writable
from xpbptt._arrays.types import AnyArray, Arrays


class Tape:
    """Tuples of arrays for `length` steps, each written once and read afterwards.

    Parameters
    ----------
    length : int
        The number of steps T.
    xp : namespace
        The arrays' namespace.
    """

    __slots__ = ("_first", "_parts", "_writable", "length", "xp")

    def __init__(self, length: int, *, xp: Any) -> None:
        self.length = length
        self.xp = xp
        self._first = 0  # the row of step 0
        self._parts: tuple[Any, ...] | None = None  # (T, …) arrays, or lists of T rows
        self._writable = False

    @classmethod
    def starting(cls, rows: Arrays, length: int, *, xp: Any) -> "Tape":
        """Return a tape whose step 0 is written."""
        tape = cls(length, xp=xp)
        tape.write(0, rows)
        return tape

    def part(self, start: int, stop: int) -> "Tape":
        """Return a tape for the steps from `start` to before `stop` of this one, which is begun."""
        tape = Tape(stop - start, xp=self.xp)
        tape._first, tape._parts, tape._writable = self._first + start, self._parts, self._writable
        return tape

    @property
    def parts(self) -> int:
        """The number of arrays in each step."""
        return 0 if self._parts is None else len(self._parts)

    def write(self, t: int, rows: Arrays) -> None:
        """Keep the rows of step `t`."""
        if self._parts is None:
            self._parts = tuple(self._allocate(row) for row in rows)
        place = (self._first + t, ...) if self._writable else self._first + t
        for part, row in zip(self._parts, rows, strict=True):
            part[place] = row

    def put(self, t: int, arrays: Arrays) -> None:
        """Keep arrays (n, …) of the rows of the steps from `t` on, on a tape that is begun."""
        start = self._first + t
        for part, array in zip(self._parts or (), arrays, strict=True):
            rows = slice(start, start + array.shape[0])
            if self._writable:
                part[rows, ...] = array
            else:
                part[rows] = [Row(array, k) for k in range(array.shape[0])]

    def stacked(self, start: int = 0, stop: int | None = None) -> Arrays:
        """Return the steps from `start` to before `stop` as (T, …) arrays."""
        end = self.length if stop is None else stop
        steps = slice(self._first + start, self._first + end)
        if self._parts is None:
            return ()
        if self._writable:
            return tuple([part[steps, ...] for part in self._parts])
        return tuple(self._stack(part[steps], like=_row(part[0])) for part in self._parts)

    def _allocate(self, row: AnyArray) -> Any:
        device = array_api_compat.device(row)
        array = self.xp.empty((self.length, *row.shape), dtype=row.dtype, device=device)
        self._writable = writable(array)
        return array if self._writable else [None] * self.length

    def _stack(self, rows: list[AnyArray], *, like: AnyArray) -> AnyArray:
        if rows:
            runs = [self._joined(list(run)) for _, run in groupby(rows, _origin)]
            return runs[0] if len(runs) == 1 else self.xp.concat(runs, axis=0)
        device = array_api_compat.device(like)
        return self.xp.zeros((0, *like.shape), dtype=like.dtype, device=device)

    def _joined(self, rows: list[Any]) -> AnyArray:
        """Return rows of one array, or arrays of a row each, as one array."""
        if not isinstance(rows[0], Row):
            return self.xp.stack(rows, axis=0)
        array, first, last = rows[0].array, rows[0].place, rows[-1].place
        whole = last - first + 1 == array.shape[0]
        return array if whole else array[first : last + 1, ...]


def at(arrays: Arrays, t: int) -> Arrays:
    """Return the rows of step `t` of arrays (T, …)."""
    return tuple([part[t, ...] for part in arrays])


class Row(NamedTuple):
    """A row of an array that was put on a tape which cannot be written to."""

    array: AnyArray
    place: int


def _row(entry: Any) -> AnyArray:
    return entry.array[entry.place, ...] if isinstance(entry, Row) else entry


def _origin(entry: Any) -> int | None:
    """Return what the rows of one array have in common, and single rows too."""
    return id(entry.array) if isinstance(entry, Row) else None


class Slab:
    """An array that is written in spans, like `like` (T, …); each step once.

    Parameters
    ----------
    like : array (T, …)
        What shape, dtype and device the array has.
    xp : namespace
        Its namespace.
    """

    __slots__ = ("_like", "_parts", "_whole", "xp")

    def __init__(self, like: AnyArray, *, xp: Any) -> None:
        self.xp = xp
        self._like = like
        self._whole: AnyArray | None = None
        self._parts: dict[int, AnyArray] = {}

    def write(self, steps: slice, part: AnyArray) -> None:
        """Put `part` where it belongs; one that is the whole is taken as it is."""
        if part.shape == self._like.shape:
            self._whole = part
            return
        if self._whole is None and not self._parts:
            whole = self.xp.empty_like(self._like)
            self._whole = whole if writable(whole) else None
        if self._whole is None:
            self._parts[steps.start] = part
        else:
            self._whole[steps, ...] = part

    def whole(self) -> AnyArray:
        """Return the array."""
        if self._parts:
            return self.xp.concat([self._parts[start] for start in sorted(self._parts)], axis=0)
        return self.xp.zeros_like(self._like) if self._whole is None else self._whole
