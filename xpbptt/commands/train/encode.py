"""Encoding a text that comes in pieces, so that it is never in memory as a whole string.

A character takes one byte where the text has at most 256 kinds of them, two bytes up to 65,536
kinds, else four.
"""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

PIECE = 1 << 20  # characters that are renumbered or widened at once
CODE_POINTS = 0x110000
_DTYPES: list[np.dtype[Any]] = [np.dtype(name) for name in ("uint8", "uint16", "int32")]


class Encoder:
    """Numbers the characters of a text.

    Parameters
    ----------
    reserve : callable
        Called with a number of bytes before what is encoded so far is made to take so many more;
        it raises if there is not enough memory.
    """

    def __init__(self, reserve: Callable[[int], None] = lambda _: None) -> None:
        self._reserve = reserve
        self._digest = hashlib.sha256()
        self._points = np.empty(0, np.int32)  # the code points met, in the order they came in
        self._numbers = np.full(CODE_POINTS, -1, np.int32)  # the place of each one in it
        self._memory = np.empty(0, np.uint8)  # the numbers, and room for more
        self._dtype = _DTYPES[0]
        self._length = 0

    def add(self, piece: str) -> None:
        """Encode the next piece of the text."""
        self._digest.update(piece.encode("utf-8"))
        points = np.frombuffer(piece.encode("utf-32-le"), "<u4")
        new = np.unique(points[self._numbers[points] < 0])
        if len(new):
            known = len(self._points)
            self._points = np.concatenate([self._points, new.astype(np.int32)])
            self._numbers[new] = np.arange(known, len(self._points))
            self._fit()
        start, self._length = self._length, self._length + len(points)
        size = self._length * self._dtype.itemsize
        if size > len(self._memory):  # grown in place where the system can, and by an eighth
            self._memory.resize(size + size // 8, refcheck=False)
        self._codes()[start:] = self._numbers[points]

    def finish(self) -> tuple[str, np.ndarray, str]:
        """Return the text with its characters numbered in the order of their code points.

        Nothing can be added after that.
        """
        self._memory.resize(self._length * self._dtype.itemsize, refcheck=False)
        order = np.argsort(self._points)
        ranks = np.empty(len(order), self._dtype)
        ranks[order] = np.arange(len(order))
        ids = self._codes()
        for part in pieces(ids):
            part[...] = ranks[part]
        return "".join(map(chr, self._points[order])), ids, self._digest.hexdigest()

    def _codes(self) -> np.ndarray:
        return self._memory[: self._length * self._dtype.itemsize].view(self._dtype)

    def _fit(self) -> None:
        """Widen the numbers so far, in place, if the characters have become too many for them."""
        dtype = next(each for each in _DTYPES if len(self._points) - 1 <= np.iinfo(each).max)
        if dtype == self._dtype:
            return
        more = self._length * (dtype.itemsize - self._dtype.itemsize)
        self._reserve(more)
        self._memory.resize(self._length * dtype.itemsize, refcheck=False)
        narrow = self._codes()
        self._dtype = dtype
        wide = self._codes()
        # From the end, so that only what was read already is overwritten.
        for start in reversed(range(0, self._length, PIECE)):
            part = slice(start, start + PIECE)
            wide[part] = narrow[part].copy()


def pieces(ids: np.ndarray, overlap: int = 0) -> Iterator[np.ndarray]:
    """Return an iterator over views of `ids` that are short enough to work on."""
    return (ids[start : start + PIECE + overlap] for start in range(0, len(ids) - overlap, PIECE))
