"""What the command does with its options: section after section, each line when it is known."""

import argparse
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path

from xpbptt.commands.base import document, machine
from xpbptt.commands.base.backend import load_backend
from xpbptt.commands.bench import report as bench
from xpbptt.commands.bench.measure import Row
from xpbptt.commands.selftest import (
    allocations,
    engines,
    graphs,
    kernels,
    laws,
    parity,
    report,
    suite,
    times,
    training,
    waits,
)
from xpbptt.commands.selftest.check import FAILED, NOT_RUN, OK, Check, Outcome, Setup, attempt

Show = Callable[[str], None]
CHECKS = (kernels, laws, parity, training, engines, graphs)
BUDGETS = (waits, allocations)


@dataclass
class Found:
    """What is known so far."""

    # The outcomes of each section that was begun.
    sections: dict[str, list[Outcome]] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    interrupted: str = ""  # the section in which Ctrl-C stopped it; empty if it did not

    @property
    def failed(self) -> bool:
        """Whether any check failed."""
        return any(each.status == FAILED for each in chain(*self.sections.values()))


def run(chosen: argparse.Namespace) -> int:
    """Check everything, show each line when it is known, and return the exit code.

    Raises UserError if anything has to be put right; nothing was checked. Raises TrainingError if
    the JSON could not be written, KeyboardInterrupt on Ctrl-C after the report of what was done.
    """
    document.probe(chosen.json)
    folder = suite.find(chosen.suite, wanted=not chosen.quick)
    xp, backend = load_backend(chosen.backend, wide=True)
    setup = Setup(xp, backend, chosen.quick)
    timing = times.plan(setup)
    head = machine.describe(backend, None, chosen.arguments, xp=xp)
    show = document.shown(chosen.json)
    show(report.FENCE)
    for line in bench.head(head, timing.missing):
        show(line)
    found, stopped = Found(), None
    try:
        _sections(found, setup, timing, folder, asked=chosen.suite is not None,
                  show=show, progress=partial(print, file=sys.stderr, flush=True))  # fmt: skip
    except KeyboardInterrupt as pressed:
        found.interrupted, stopped = next(reversed(found.sections), "checks"), pressed
    for line in report.result(found.sections, found.interrupted):
        show(line)
    show(report.FENCE)
    whole = report.as_json(head, timing.missing, found.sections, found.rows, found.interrupted)
    document.write(chosen.json, whole)
    if stopped is not None:
        raise stopped
    return 1 if found.failed else 0


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
