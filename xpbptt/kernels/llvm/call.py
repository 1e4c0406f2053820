"""How a compiled function is called: its words, and the threads that share a batch.

Its words are whole numbers and the addresses of arrays. Each thread runs its sequences from the
first step to the last; what is computed for a sequence does not depend on the sequences beside it,
so that the results are the same bits whatever the number of threads. A compiled function runs
without the GIL.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from ctypes import addressof, c_char
from functools import cache
from itertools import pairwise
from struct import Struct
from typing import Any

import numpy as np

VARIABLES = "XPBPTT_NUM_THREADS", "OMP_NUM_THREADS"
WORTH = 2**25  # multiplications that make another thread worth its while

_limit: list[int] = []  # set for a while; the last one counts


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
    arrays = list(arrays)
    try:  # a fifth of the time of the general way
        return [addressof(c_char.from_buffer(array)) for array in arrays]
    except (TypeError, ValueError):  # one with gaps, of no elements or read-only
        return [array.__array_interface__["data"][0] for array in arrays]


def words(values: Sequence[int]) -> bytes:
    """Return whole numbers and addresses as a function takes them."""
    return _form(len(values)).pack(*values)


@cache
def _form(count: int) -> Struct:
    return Struct(f"{count}q")


def count() -> int:
    """Return how many threads may be used: what is set, or the cores of this process."""
    return _limit[-1] if _limit else _from_environment()


@contextmanager
def limited(most: int) -> Iterator[None]:
    """Use at most so many threads for a while."""
    _limit.append(most)
    try:
        yield
    finally:
        _limit.pop()


@cache
def _from_environment() -> int:
    for name in VARIABLES:
        value = os.environ.get(name, "").partition(",")[0].strip()
        if value.isdecimal() and int(value):
            return int(value)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def parts(batch: int, work: int) -> list[slice]:
    """Split a batch over threads, as many as so many multiplications are worth."""
    threads = min(count(), batch, 1 + work // WORTH)
    ends = [k * batch // threads for k in range(1, threads + 1)]
    return list(map(slice, [0, *ends], ends))


def shares(work: int, *sizes: int) -> list[tuple[slice, ...]]:
    """Split several ranges over as many threads as so many multiplications are worth."""
    threads = min(count(), 1 + work // WORTH)
    ends = [[k * size // threads for size in sizes] for k in range(threads + 1)]
    return [tuple(map(slice, *pair)) for pair in pairwise(ends)]


def run(function: Callable[..., None], arguments: list[Any]) -> None:
    """Call a function for each of the arguments, the first one in this thread."""
    first, *others = arguments
    if not others:
        function(first)
        return
    waiting = [_executor().submit(function, each) for each in others]
    function(first)
    for each in waiting:
        each.result()


@cache
def _executor() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="xpbptt")


if hasattr(os, "register_at_fork"):  # the child has none of the pool's threads
    os.register_at_fork(after_in_child=_executor.cache_clear)
