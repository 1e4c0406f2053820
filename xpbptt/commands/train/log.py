"""The log of a training run: lines of JSON, the baselines first, then one for each report."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from xpbptt.commands.base.errors import UserError
from xpbptt.commands.train.loop import Report

Entry = dict[str, Any]
_NUMBERS = ("step", "seconds", "train", "held_out", "learning_rate", "gradient_norm")


class Log:
    """Keeps the entries of a run, and writes them to a file where there is one.

    Parameters
    ----------
    path : Path or None
        The file.
    baselines : mapping
        Bits per character by the names of the models to compare with.
    goes_on : bool
        Whether the file is continued, of a run that is resumed.
    complain : callable
        Called with a line where the file cannot be written; the run goes on without it.

    Attributes
    ----------
    entries : list of dict
        What `read` would return.
    """

    def __init__(
        self,
        path: Path | None,
        baselines: Mapping[str, float],
        *,
        goes_on: bool,
        complain: Callable[[str], None],
    ) -> None:
        self.entries: list[Entry] = read(path) if path and goes_on and path.exists() else []
        self._path = path
        self._complain = complain
        self._last: Report | None = None
        if self._path is not None and not self.entries:
            self._write("", "w")
        if not self.entries:
            self._add({"baselines": dict(baselines)})

    def add(self, report: Report) -> None:
        """Add a report, in place of the last one if that was of the same step."""
        self._last = report
        if self.entries[-1].get("step") == report.step:
            self.entries.pop()
        held_out = report.held_out if report.held_out_is_new else None
        seconds, train, norm = round(report.seconds, 3), report.train, report.norm
        found = (report.step, seconds, train, held_out, report.rate, norm)
        entry = dict(zip(_NUMBERS, found, strict=True))
        self._add({name: value for name, value in entry.items() if value is not None})

    def finish(self, held_out: float) -> None:
        """Add what was measured of the finished model to the last report."""
        if self._last is not None:
            self.add(self._last._replace(held_out=held_out, held_out_is_new=True))

    def _add(self, entry: Entry) -> None:
        self.entries.append(entry)
        self._write(json.dumps(entry) + "\n", "a")

    def _write(self, text: str, mode: str) -> None:
        if self._path is None:
            return
        try:
            with self._path.open(mode, encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            self._complain(f"--log {self._path}: {error.strerror}; it is not written any more")
            self._path = None


def read(path: Path) -> list[Entry]:
    """Return the entries of a log, each an object of JSON.

    Raises UserError if there is no such file, or a line is not what `Log` writes.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:  # a ValueError: not UTF-8, or a null byte in the path
        message = f"{path}: {getattr(error, 'strerror', None) or error}"
        raise UserError(message) from error
    entries: list[Entry] = []
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            _check(entry, first=number == 1)
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            message = f"{path} is no log of `xpbptt train`: line {number}: {error}"
            raise UserError(message) from error
        # A run that was killed may have gone further than the model that it was resumed from.
        while len(entries) > 1 and entries[-1]["step"] >= entry["step"]:
            entries.pop()
        entries.append(entry)
    if not entries:
        message = f"{path} is empty"
        raise UserError(message)
    return entries


def _check(entry: Entry, *, first: bool) -> None:
    numbers = entry["baselines"] if first and "baselines" in entry else entry
    if not first and not {"step", "train"} <= entry.keys() <= set(_NUMBERS):
        message = f"expected some of {', '.join(_NUMBERS)}"
        raise ValueError(message)
    if numbers is entry and first:
        message = "expected the baselines"
        raise ValueError(message)
    if not all(type(n) in {int, float} and math.isfinite(n) for n in numbers.values()):
        message = "expected finite numbers"
        raise ValueError(message)
