"""What the command does with its options: section after section, each line when it is known."""

import argparse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from xpbptt.commands.base import document, machine
from xpbptt.commands.bench import report as bench
from xpbptt.commands.bench.command import library
from xpbptt.commands.bench.measure import Row
from xpbptt.commands.selftest import report, suite, times
from xpbptt.commands.selftest.budgets import allocations, waits
from xpbptt.commands.selftest.check import FAILED, NOT_RUN, OK, Check, Outcome, Setup, attempt
from xpbptt.commands.selftest.checks import (
    gradients,
    kernels,
    masks,
    parity,
    repeat,
    strategies,
    training,
)

Show = Callable[[str], None]
CHECKS = (kernels, gradients, parity, strategies, masks, repeat, training)
BUDGETS = (waits, allocations)


@dataclass
class Found:
    """What is known so far.

    Parameters
    ----------
    sections : dict of str to list of Outcome
        The outcomes of each section that was begun.
    rows : list of Row
        The times.
    interrupted : str
        The section in which Ctrl-C stopped it; empty if it did not.
    """

    sections: dict[str, list[Outcome]] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    interrupted: str = ""

    @property
    def failed(self) -> bool:
        """Whether any check failed."""
        return any(each.status == FAILED for each in chain(*self.sections.values()))


def run(
    chosen: argparse.Namespace,
    arguments: Sequence[str],
    *,
    show: Show,
    progress: Show,
    output: Show,
) -> bool:
    """Check everything, and show each line when it is known.

    Parameters
    ----------
    chosen : argparse.Namespace
        The options.
    arguments : sequence of str
        The arguments of the command line, for the head of the report.
    show : callable
        Takes the report, line by line.
    progress : callable
        Takes the lines of pytest as they come.
    output : callable
        Takes the JSON where it goes to standard output.

    Returns
    -------
    well : bool
        Whether nothing failed.

    Raises
    ------
    UserError
        If anything has to be put right; nothing was checked.
    TrainingError
        If the JSON could not be written.
    KeyboardInterrupt
        On Ctrl-C, after the report of what was done.
    """
    document.probe(chosen.json)
    folder = suite.find(chosen.suite, wanted=not chosen.quick)
    xp, backend = library(chosen.backend)
    setup = Setup(xp, backend, chosen.quick)
    timing = times.plan(setup)
    head = machine.describe(backend, None, arguments, xp=xp)
    show(report.FENCE)
    for line in bench.head(head, timing.missing):
        show(line)
    found, stopped = Found(), None
    try:
        _sections(found, setup, timing, folder, asked=chosen.suite is not None,
                  show=show, progress=progress)  # fmt: skip
    except KeyboardInterrupt as pressed:
        found.interrupted, stopped = next(reversed(found.sections), "checks"), pressed
    for line in report.result(found.sections, found.interrupted):
        show(line)
    show(report.FENCE)
    whole = report.as_json(head, timing.missing, found.sections, found.rows, found.interrupted)
    document.write(chosen.json, whole, output)
    if stopped is not None:
        raise stopped
    return not found.failed


def _sections(
    found: Found,
    setup: Setup,
    timing: times.Timing,
    folder: Path | str,
    *,
    asked: bool,
    show: Show,
    progress: Show,
) -> None:
    for name, parts in {"checks": CHECKS, "budgets": BUDGETS}.items():
        done = _begin(name, found, show)
        _attempt(chain.from_iterable(part.checks(setup) for part in parts), done, show)
    _times(found, setup, timing, show)
    done = _begin("suite", found, show)
    if isinstance(folder, Path):
        done.append(suite.run(folder, setup.backend, asked=asked, show=progress))
    else:
        done.append(Outcome(suite.NAME, NOT_RUN, folder))
    _show(done[-1], show)


def _begin(name: str, found: Found, show: Show) -> list[Outcome]:
    show("")
    show(report.TITLES[name])
    return found.sections.setdefault(name, [])


def _attempt(checks: Iterable[Check], done: list[Outcome], show: Show) -> None:
    for check in checks:
        done.append(attempt(check))
        _show(done[-1], show)


def _show(outcome: Outcome, show: Show) -> None:
    for line in report.line(outcome):
        show(line)


def _times(found: Found, setup: Setup, timing: times.Timing, show: Show) -> None:
    done = _begin("bench", found, show)
    for line in (*bench.LEGEND[1:], times.clock(setup)):
        show(line)
    kinds = [case.kind for case in timing.cases]
    for place, check in enumerate(times.checks(timing, setup, found.rows)):
        if kinds[place] not in kinds[:place]:
            for line in bench.title(kinds[place], timing.names):
                show(line)
        done.append(attempt(check))
        if done[-1].status == OK:
            show(done[-1].detail)
        else:
            _show(done[-1], show)
