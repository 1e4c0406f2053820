"""The threads of NumPy's matrix products: as many as make the training fastest here.

Beside other busy processes the threads of a small product wait for each other, many times longer
than one thread takes for it all. The last bits of a product depend on how many threads there are,
so a run keeps to one number of them, and a model file stores it.
"""

import time
from collections.abc import Callable, Mapping
from math import prod
from typing import NamedTuple

from xpbptt._arrays.types import Namespace
from xpbptt.commands.base import threads
from xpbptt.commands.train.model import CharModel
from xpbptt.nets.stack import signature

VARIABLES = (  # who sets one of them has chosen
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "GOTO_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
)
SMALL = 1 << 22  # multiply-adds of the product of a time step: up to so many, one thread
SECONDS = 1.0  # how long is measured
GAIN = 1.1  # by how much all threads must be faster to be taken

_ON_NUMPY = ("numpy", "array_api_compat.numpy", "array_api_strict")


class Choice(NamedTuple):
    """How many threads are taken, and why."""

    threads: int | None  # the number; None where it is not governed
    reason: str  # why, in words


def current(xp: Namespace) -> int | None:
    """Return how many threads the matrix products take now; None where that is not governed.

    It is governed for NumPy, and what computes with it, on OpenBLAS, MKL or BLIS.
    """
    if xp.__name__ not in _ON_NUMPY:
        return None
    return max(threads.counts("blas"), default=None)


def small(model: CharModel, batch: int) -> bool:
    """Tell whether the product of a time step is too small to be shared by threads."""
    weight = signature.parameters(model.net)[0].weight_hh
    multiply_adds: int = batch * prod(weight.shape)
    return multiply_adds <= SMALL


def choose(
    now: int | None,
    stored: int | None,
    environ: Mapping[str, str],
    *,
    small: bool,
    probe: Callable[[int], object],
    clock: Callable[[], float] = time.perf_counter,
) -> Choice:
    """Choose the threads of a run: as the environment says, else as `stored`, else the faster.

    Parameters
    ----------
    now, stored : int or None
        What `current` returns, and the number that the run had before it was saved.
    environ : mapping
        The environment.
    small : bool
        Whether the products are small.
    probe, clock : callable
        Does a part of the work with so many threads; returns the time in seconds.
    """
    if now is None:
        return Choice(None, "")
    for name in VARIABLES:
        if environ.get(name) == str(now):
            return Choice(now, f"set by {name}")
    if stored is not None and stored <= now:
        return Choice(stored, "as before")
    if small or now == 1:
        return Choice(1, "enough for matrix products this small" if small else "one core")
    one, every = _measure(now, probe, clock)
    count = now if GAIN * every < one else 1
    return Choice(count, f"a probe took {one:.3f} s with 1 and {every:.3f} s with {now}")


def _measure(
    most: int, probe: Callable[[int], object], clock: Callable[[], float]
) -> tuple[float, float]:
    """Return the mean times of the probe with one thread and with `most`, run in turn.

    The mean, as it is the rare long waits of several threads that make a run slow.
    """
    probe(1)  # not timed: the first use compiles the cell
    one = every = 0.0
    began, rounds = clock(), 0
    while rounds == 0 or clock() - began < SECONDS:
        start = clock()
        probe(1)
        middle = clock()
        probe(most)
        one, every = one + middle - start, every + clock() - middle
        rounds += 1
    return one / rounds, every / rounds
