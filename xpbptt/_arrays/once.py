"""Results that are computed once for all threads; a thread that asks meanwhile waits.

One lock guards all of them, so that two threads cannot wait for each other. A `fork` waits for the
lock too: the child has none of the parent's other threads, so a lock that one of them held would
stay locked in the child.
"""

import os
from collections.abc import Callable
from functools import lru_cache, wraps
from threading import RLock
from typing import Any, ParamSpec, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")

KEPT = 512  # results of a function; with more, those that were not used for longest are forgotten
LOCK = RLock()  # reentrant: one such function may call another
_over_fork: list[Any] = [LOCK]
_held: list[Any] = []  # by the thread that forks


def once(function: Callable[P, R]) -> Callable[P, R]:
    """Return `function` with a cache: it runs once for the same arguments, in all threads together.

    The memory holds the last `KEPT` results. `functools.cache` alone runs the function in every
    thread that asks before the first result is there.
    """
    made: Any = lru_cache(KEPT)(function)

    @wraps(function)
    def locked(*arguments: P.args, **named: P.kwargs) -> R:
        with LOCK:
            result: R = made(*arguments, **named)
        return result

    ask: Any = lru_cache(KEPT)(locked)  # a result that is there needs no lock
    forget = ask.cache_clear

    def cache_clear() -> None:
        """Forget every result."""
        made.cache_clear()
        forget()

    ask.cache_clear = cache_clear
    return cast("Callable[P, R]", ask)


def hold_over_fork(lock: Any) -> None:
    """Have a `fork` wait until no thread holds `lock`, which it takes after `LOCK`."""
    _over_fork.append(lock)


def _acquire() -> None:
    for lock in tuple(_over_fork):
        lock.acquire()
        _held.append(lock)


def _release() -> None:
    while _held:
        _held.pop().release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_acquire, after_in_parent=_release, after_in_child=_release)
