"""Running case after case until one fails or the time is over."""

import itertools
import time
import traceback
from collections.abc import Iterator
from typing import NamedTuple

from .case import Case, shrunk
from .check import check
from .draw import draw

SHRINKING = 20  # seconds


class Failure(NamedTuple):
    """A case that fails, the simplest one found beside it, and what that one raised."""

    number: int
    case: Case
    simplest: Case
    error: Exception

    def line(self, seed: int) -> str:
        """Return the line that says what failed and how to have it again."""
        kind, message = type(self.error).__name__, str(self.error).partition("\n")[0]
        again = f"nox -s fuzz -- --seed {seed} --case {self.number}"
        return f"FAILED {kind}: {message} | {again} | {self.simplest!r}"

    def details(self) -> str:
        """Return the traceback."""
        return "".join(traceback.format_exception(self.error))


def search(seed: int, seconds: float) -> Iterator[tuple[Case, Failure | None]]:
    """Yield the cases of a seed, each with its failure or None, until the time is over."""
    start = time.monotonic()
    for number in itertools.count():
        if time.monotonic() - start >= seconds:
            return
        case = draw(seed, number)
        yield case, failure(number, case)


def failure(number: int, case: Case) -> Failure | None:
    """Check a case; if it fails, look for a simpler one that fails in the same way."""
    error = _error(case)
    if error is None:
        return None
    end = time.monotonic() + SHRINKING
    same = lambda other: type(_error(other)) is type(error)  # noqa: E731
    simplest = shrunk(case, same, lambda: time.monotonic() > end)
    return Failure(number, case, simplest, _error(simplest) or error)


def _error(case: Case) -> Exception | None:
    try:
        check(case)
    except Exception as error:  # noqa: BLE001 - whatever a pass raises is found
        return error
    return None
