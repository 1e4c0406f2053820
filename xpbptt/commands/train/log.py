"""The log of a training run: lines of JSON, the baselines first, then one for each report.

It belongs to the model file: it is written from when the model is first saved.
"""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from xpbptt._arrays import atomic
from xpbptt.commands.base.errors import UserError
from xpbptt.commands.train.loop import Report

Entry = dict[str, Any]
_NUMBERS = ("step", "seconds", "train", "held_out", "learning_rate", "gradient_norm")


class Log:
    """Keeps the entries of a run, and writes them to a file, if any, once it has begun.

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
    stale : Path, optional
        The log of a model that is replaced, to be removed when this run has begun; a file that is
        no log stays.

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
        stale: Path | None = None,
    ) -> None:
        found = _found(path) if path and goes_on else []
        self.entries: list[Entry] = found or [{"baselines": dict(baselines)}]
        self._mode = "a" if found else "w"
        self._waiting: str | None = "" if found else _line(self.entries[0])
        self._path = path
        self._complain = complain
        self._last: Report | None = None
        self._stale = stale

    def begin(self) -> None:
        """Write what there is, and from now on each entry at once."""
        if self._waiting is not None:
            self._write(self._waiting, self._mode)
            self._waiting = None
            self._remove_stale()

    def add(self, report: Report) -> None:
        """Add a report, in place of any of the same step or of later ones."""
        self._last = report
        held_out = report.held_out if report.held_out_is_new else None
        seconds, train, norm = round(report.seconds, 3), report.train, report.norm
        found = (report.step, seconds, train, held_out, report.rate, norm)
        entry = dict(zip(_NUMBERS, found, strict=True))
        entry = {name: value for name, value in entry.items() if value is not None}
        _append(self.entries, entry)
        if self._waiting is None:
            self._write(_line(entry), "a")
        else:
            self._waiting += _line(entry)

    def finish(self, held_out: float) -> None:
        """Add what was measured of the finished model to the last report."""
        if self._last is not None:
            self.add(self._last._replace(held_out=held_out, held_out_is_new=True))

    def _remove_stale(self) -> None:
        try:
            if self._stale is not None and _found(self._stale):
                self._stale.unlink()
        except UserError:  # it is no log
            return
        except OSError as error:
            self._complain(f"{self._stale}, of the model before, stays: {error.strerror}")

    def _write(self, text: str, mode: str) -> None:
        if self._path is None:
            return
        try:
            with self._path.open(mode, encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            self._complain(f"--log {self._path}: {error.strerror}; it is not written any more")
            self._path = None


def check_place(path: Path, *, goes_on: bool, overwrite: bool) -> None:
    """Refuse a place where a log could not be written, or should not: a file that is no log.

    Where it is not gone on with, a log with reports is refused, too, unless `overwrite`. Raises
    UserError then.
    """
    try:
        if path.exists():
            path.open("a").close()
        else:
            atomic.probe(path)
        found = _found(path)
    except UserError as error:
        message = f"{error}; give another --log, or --no-log, or remove it"
        raise UserError(message) from error
    except (OSError, ValueError) as error:  # a ValueError is a null byte in the path
        message = f"--log {path} cannot be written: {getattr(error, 'strerror', None) or error}"
        raise UserError(message) from error
    if len(found) > 1 and not (goes_on or overwrite):
        message = (
            f"{path} holds the log of a run until step {found[-1]['step']}: replace it by "
            "--overwrite, or give another --log, or --no-log"
        )
        raise UserError(message)


def _found(path: Path) -> list[Entry]:
    """Return the entries of a log; of an empty file, or where there is none, an empty list."""
    return read(path) if path.exists() and path.stat().st_size else []


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
        _append(entries, entry)
    if not entries:
        message = f"{path} is empty"
        raise UserError(message)
    return entries


def _append(entries: list[Entry], entry: Entry) -> None:
    """Append an entry, in place of those of a killed run that its saved model did not reach."""
    while len(entries) > 1 and entries[-1]["step"] >= entry["step"]:
        entries.pop()
    entries.append(entry)


def _line(entry: Entry) -> str:
    return json.dumps(entry) + "\n"


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
