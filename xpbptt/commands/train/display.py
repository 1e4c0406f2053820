"""What is seen while training: a progress bar on a terminal, a line now and then elsewhere."""

import os
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self, TextIO

from xpbptt.commands.base.terminal import one_line
from xpbptt.commands.train.loop import Budget, Report

STOPPING = "stopping: this step ends, then the model is saved; Ctrl-C again stops at once"
_UNKNOWN = 80  # columns of a terminal that does not tell
_LEAST = 6  # columns of the bar between its numbers


class Display:
    """Shows the reports of a training run.

    Parameters
    ----------
    stream : text stream
        Where to; standard error.
    budget : Budget
        What the whole run is.
    baselines : str
        What stands beside the numbers of the model on the bar, if there is room.
    """

    def __init__(self, stream: TextIO, budget: Budget, baselines: str) -> None:
        self._stream = stream
        self._budget = budget
        self._baselines = baselines
        self._bar: Any = None
        self._columns = 0
        self._last: Report | None = None

    def __enter__(self) -> Self:
        """Start the bar, on a terminal."""
        if self._stream.isatty():
            from tqdm import tqdm  # noqa: PLC0415 - on use, not on import

            steps = self._budget.steps
            self._columns = columns(self._stream)
            self._bar = tqdm(
                total=self._budget.seconds if steps is None else steps,
                unit="s" if steps is None else "steps",
                bar_format="{n:.0f}/{total:.0f} {unit} |{bar}|",
                file=self._stream,
                ncols=self._columns - 1,
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the bar as it stands, on a line of its own."""
        if self._bar is not None:
            self._bar.close()

    def show(self, report: Report) -> None:
        """Move the bar, or write a line if there is a new number for the held-out text."""
        self._last = report
        if self._bar is not None:
            self._draw(report)
        elif report.held_out_is_new:
            numbers = f"train {report.train:.2f}, held out {report.held_out:.2f}"
            line = f"step {report.step:6d}  {report.seconds:7.1f} s  {numbers} bits/char\n"
            self._stream.write(line)
            self._stream.flush()

    def end(self, held_out: float | None) -> None:
        """Show the last report again with the number that the finished model has."""
        if self._last is not None:
            self.show(self._last._replace(held_out=held_out, held_out_is_new=False))

    def acknowledge(self, _: int) -> None:
        """Say at once that a signal has arrived; to be called from its handler."""
        line = f"\r\x1b[K{STOPPING}\n" if self._bar is not None else f"{STOPPING}\n"
        try:  # not through the buffer of the stream, which may be in use
            os.write(self._stream.fileno(), line.encode())
        except (OSError, AttributeError):  # it has no file, or is lost
            self._stream.write(line)

    def _draw(self, report: Report) -> None:
        """Draw the bar with as many of the numbers, the important ones first, as there is room."""
        bar, room = self._bar, columns(self._stream) - 1
        if room != bar.ncols:  # what was drawn for another width is not to be padded over
            self._stream.write("\r\x1b[K")
            bar.ncols, bar.sp = room, bar.status_printer(self._stream)
        done = report.seconds if self._budget.steps is None else report.steps
        bar.n = min(done, bar.total)
        count = f"{bar.n:.0f}/{bar.total:.0f} {bar.unit}"
        told = ""
        for number in _numbers(report, self._budget.left(report.steps, report.seconds)):
            more = f"{told}, {number}" if told else number
            if len(f"{count} || {more}") + _LEAST <= room:
                told = more
        more = f"{told}, {self._baselines} bits/char"
        told = more if len(f"{count} || {more}") + _LEAST <= room else told
        bar.bar_format = f"{count} |{{bar}}| {told}"
        bar.refresh()

    def say(self, message: str) -> None:
        """Write a line; a bar stays below it."""
        line = one_line(message)
        if self._bar is not None:
            self._bar.write(line, file=self._stream)
        else:
            self._stream.write(f"{line}\n")
            self._stream.flush()


def columns(stream: TextIO) -> int:
    """Return the width of a terminal; where it says 0, a width that most have."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or _UNKNOWN
    except OSError:
        return _UNKNOWN


def _numbers(report: Report, left: float) -> Iterator[str]:
    """Yield the numbers of a report, the most important ones first."""
    if report.held_out is not None:
        yield f"held out {report.held_out:.2f}"
    yield f"train {report.train:.2f}"
    yield f"{_clock(left)} left"
    pace = report.steps / max(report.seconds, 1e-9)
    yield f"{pace:.3g} steps/s" if pace < 100 else f"{pace:.0f} steps/s"  # noqa: PLR2004


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(max(seconds, 0.0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
