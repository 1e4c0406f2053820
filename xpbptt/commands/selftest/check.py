"""A check, and what comes of it: nothing that one raises keeps the others from running."""

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

OK, FAILED, NOT_APPLICABLE, NOT_RUN = "ok", "FAILED", "not applicable", "not run"
HERE = Path(__file__).parent
PACKAGE = HERE.parents[1]


class CheckError(AssertionError):
    """What was checked does not hold; the message says how far off it is."""


class NotApplicable(Exception):  # noqa: N818 - no error: the reason why there is nothing to check
    """There is nothing to check on this library; the message says why."""


class Setup(NamedTuple):
    """What is checked."""

    xp: Any
    backend: str
    quick: bool  # whether to check less


class Check(NamedTuple):
    """One line of the report."""

    name: str  # what is checked
    # Returns in words what was found, or raises: `NotApplicable` with the reason, anything else
    # where the check fails.
    run: Callable[[], str]


class Outcome(NamedTuple):
    """What came of a check."""

    name: str  # what was checked
    status: str  # what came of it
    detail: str  # how large the error was, or the reason, in one line or more


def not_applicable(name: str, reason: str) -> Check:
    """Return a check of what cannot be checked on this library."""

    def run() -> str:
        raise NotApplicable(reason)

    return Check(name, run)


def attempt(check: Check) -> Outcome:
    """Run a check, and report whatever it raises.

    A warning that the library logs meanwhile is a failure too: that a cell is not compiled, say.
    """
    with _warnings() as logged:
        try:
            status, detail = OK, check.run()
        except NotApplicable as reason:
            status, detail = NOT_APPLICABLE, str(reason)
        except AssertionError as error:  # a law's, or a `CheckError`
            status, detail = FAILED, "\n".join([str(error), *getattr(error, "__notes__", ())])
        except Exception as error:  # noqa: BLE001 - reported, and the other checks go on
            status, detail = FAILED, f"{type(error).__name__}: {error}{_place(error)}"
    if logged:
        status = FAILED
        detail = "\n".join([detail, *(f"logged a warning: {line}" for line in logged)])
    return Outcome(check.name, status, detail)


def plural(number: int, what: str) -> str:
    """Return a number of things in words.

    Examples
    --------
    >>> plural(1, "net"), plural(2, "net")
    ('1 net', '2 nets')
    """
    return f"{number} {what}{'s' * (number != 1)}"


def _place(error: Exception) -> str:
    """Name the innermost line of the library, not of the checks, that an exception came through."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_relative_to(PACKAGE) and not path.is_relative_to(HERE):
            return f" (at {path.relative_to(PACKAGE.parent).as_posix()}:{frame.lineno})"
    return ""


class _Listener(logging.Handler):
    """Keeps the warnings that are logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message."""
        self.lines.append(record.getMessage())


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """Listen to the library's logger."""
    listener, log = _Listener(), logging.getLogger("xpbptt")
    log.addHandler(listener)
    try:
        yield listener.lines
    finally:
        log.removeHandler(listener)
