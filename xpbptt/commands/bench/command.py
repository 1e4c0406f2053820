"""What the command does with its options."""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from xpbptt import backends
from xpbptt.commands.base import document, machine
from xpbptt.commands.base.errors import TrainingError, UserError
from xpbptt.commands.bench import peers, profile, report
from xpbptt.commands.bench.cases import Case, select
from xpbptt.commands.bench.measure import Effort, Row, measure
from xpbptt.commands.bench.options import QUICK, SECONDS
from xpbptt.commands.train.job import load_backend

Head = dict[str, Any]
Show = Callable[[str], None]
LEAST, LEAST_QUICK = 5, 3  # rounds


@dataclass(frozen=True)
class Plan:
    """What a command asks for, read and checked before anything is measured.

    Parameters
    ----------
    xp : namespace
        The array library.
    backend : str
        Its name.
    cases : list of Case
        The rows.
    effort : Effort
        How long to measure each.
    missing : mapping of str to str
        The peers that are not there, and why.
    names : list of str
        The others.
    """

    xp: Any
    backend: str
    cases: list[Case]
    effort: Effort
    missing: Mapping[str, str]
    names: list[str]


def plan(chosen: argparse.Namespace) -> Plan:
    """Read the options.

    Parameters
    ----------
    chosen : argparse.Namespace
        The options.

    Raises
    ------
    UserError
        If anything has to be put right.
    """
    if chosen.profile and chosen.peer:
        message = "--profile looks at xpbptt alone: leave --peer out"
        raise UserError(message)
    document.probe(chosen.json)
    xp, backend = library(chosen.backend)
    found = {} if chosen.profile else {name: peers.missing(name) for name in peers.NAMES}
    missing = {name: reason for name, reason in found.items() if reason}
    for name in chosen.peer or ():
        if name in missing:
            message = f"--peer {name}: {missing[name]}"
            raise UserError(message)
    names = [name for name in chosen.peer or found if name not in missing]
    effort = Effort(
        chosen.seconds or (QUICK if chosen.quick else SECONDS),
        LEAST_QUICK if chosen.quick else LEAST,
    )
    cases = select(chosen.kind, chosen.cell, chosen.dtype, chosen.size)
    return Plan(xp, backend, cases, effort, missing, list(dict.fromkeys(names)))


def library(name: str | None) -> tuple[Any, str]:
    """Return the namespace of an array library, or of the default one, and its name.

    Raises
    ------
    UserError
        If it is not usable.
    """
    xp = load_backend(name)
    backend = name or backends.default()
    if backend == "jax":
        import_module("jax").config.update("jax_enable_x64", val=True)
    return xp, backend


def run(chosen: argparse.Namespace, arguments: Sequence[str], *, show: Show, output: Show) -> None:
    """Measure what the options ask for, and show each row when it is done.

    Parameters
    ----------
    chosen : argparse.Namespace
        The options.
    arguments : sequence of str
        The arguments of the command line, for the head of the report.
    show : callable
        Takes the text, line by line.
    output : callable
        Takes the JSON where it goes to standard output.

    Raises
    ------
    UserError
        If anything has to be put right; nothing was measured.
    TrainingError
        If a peer computed something else or the JSON could not be written, after everything was
        shown.
    """
    asked = plan(chosen)
    head = machine.describe(asked.backend, chosen.threads, arguments, xp=asked.xp)
    for line in report.head(head, asked.missing):
        show(line)
    found, failure = (_profile if chosen.profile else _compare)(asked, head, show)
    document.write(chosen.json, found, output)
    if failure:
        raise TrainingError(failure)


def _compare(asked: Plan, head: Head, show: Show) -> tuple[str, str]:
    """Return the report as JSON, and what is wrong with a peer."""
    for line in report.LEGEND:
        show(line)
    rows: list[Row] = []
    for case in asked.cases:
        if not rows or rows[-1].case.kind != case.kind:
            for line in report.title(case.kind, asked.names):
                show(line)
        effort, xp, backend = asked.effort, asked.xp, asked.backend
        rows.append(measure(case, asked.names, effort, xp=xp, backend=backend))
        show(report.line(rows[-1]))
    for line in report.foot(rows, head["threads"], asked.backend):
        show(line)
    wrong = [
        f"{name} in {row.case.name}"
        for row in rows
        for name, entry in row.peers.items()
        if entry.wrong
    ]
    failure = f"other values than those of xpbptt, not timed: {', '.join(wrong)}" if wrong else ""
    return report.as_json(head, asked.missing, rows), failure


def _profile(asked: Plan, head: Head, show: Show) -> tuple[str, str]:
    """Return the profiles as JSON; nothing can be wrong."""
    for line in (*profile.HEAD, "", profile.title()):
        show(line)
    found = []
    for case in asked.cases:
        parts = profile.profile(case, asked.effort, xp=asked.xp, backend=asked.backend)
        found.append({**parts._asdict(), "case": case._asdict()})
        show(profile.line(parts))
    return json.dumps({**head, "profiles": found}, indent=1, ensure_ascii=False), ""
