"""Signals that let the current step and the saving finish: Ctrl-C, SIGTERM and SIGHUP."""

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP
STOPPING = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]


class Interrupt:
    """While it is entered, the first of the signals is noted in `signal` and nothing else happens.

    A second Ctrl-C acts as it did before. More of the others change nothing: a shell or a system
    that shuts down sends them in pairs. Outside the main thread, and where a signal is ignored, as
    Ctrl-C in the background of a script or SIGHUP under `nohup`, it changes nothing.

    Parameters
    ----------
    acknowledge : callable
        Called at once when the first of the signals arrives, with its number.

    Attributes
    ----------
    signal : int or None
        The number of the signal that asked to stop; None if there was none.
    """

    def __init__(self, acknowledge: Callable[[int], object] = lambda _: None) -> None:
        self._acknowledge = acknowledge
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether a signal asked to stop."""
        return self.signal is not None

    @property
    def hurried(self) -> bool:
        """Whether that signal leaves no time: all but Ctrl-C come where a session ends."""
        return self.signal not in {None, signal.SIGINT}

    def __enter__(self) -> Self:
        """Take over the signals."""
        if threading.current_thread() is threading.main_thread():
            for number in STOPPING:
                before = signal.getsignal(number)
                if before not in (signal.SIG_IGN, None):
                    self._before[number] = before
                    signal.signal(number, self._first)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give the signals back."""
        for number in list(self._before):
            self._restore(number)

    def _first(self, number: int, _frame: FrameType | None) -> None:
        first = self.signal is None
        self.signal = number if self.signal is None else self.signal
        self._restore(signal.SIGINT)
        if first:
            self._acknowledge(number)

    def _restore(self, number: int) -> None:
        if number in self._before:
            signal.signal(number, self._before.pop(number))
