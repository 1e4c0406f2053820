"""What is seen while training: a progress bar on a terminal, a line now and then elsewhere."""

from types import TracebackType
from typing import Any, Self, TextIO

from xpbptt.commands.base.terminal import one_line
from xpbptt.commands.train.bar import size
from xpbptt.commands.train.loop import Budget, Report

_BAR = "{n:.0f}/{total:.0f} {unit} |{bar}| {desc}"


class Display:
    """Shows the reports of a training run.

    Parameters
    ----------
    stream : text stream
        Where to; standard error.
    budget : Budget
        What the whole run is.
    baselines : str
        What stands beside the numbers of the model on the bar.
    """

    def __init__(self, stream: TextIO, budget: Budget, baselines: str) -> None:
        self._stream = stream
        self._budget = budget
        self._baselines = baselines
        self._bar: Any = None

    def __enter__(self) -> Self:
        """Start the bar, on a terminal."""
        if self._stream.isatty():
            from tqdm import tqdm  # noqa: PLC0415 - on use, not on import

            steps = self._budget.steps
            self._bar = tqdm(
                total=self._budget.seconds if steps is None else steps,
                unit="s" if steps is None else "steps",
                bar_format=_BAR,
                file=self._stream,
                **size(self._stream),
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
        numbers = f"train {report.train:.2f}"
        if report.held_out is not None:
            numbers += f", held out {report.held_out:.2f}"
        if self._bar is not None:
            done = report.seconds if self._budget.steps is None else report.steps
            self._bar.n = min(done, self._bar.total)
            self._bar.set_description_str(f"bits/char: {numbers}, {self._baselines}")
        elif report.held_out_is_new:
            line = f"step {report.step:6d}  {report.seconds:7.1f} s  {numbers} bits/char\n"
            self._stream.write(line)
            self._stream.flush()

    def say(self, message: str) -> None:
        """Write a line; a bar stays below it."""
        line = one_line(message)
        if self._bar is not None:
            self._bar.write(line, file=self._stream)
        else:
            self._stream.write(f"{line}\n")
            self._stream.flush()
