"""What the command does with its options."""

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from xpbptt.commands.base import document, machine, threads
from xpbptt.commands.base.backend import load_backend
from xpbptt.commands.base.errors import TrainingError, UserError
from xpbptt.commands.bench import model, peers, profile, report
from xpbptt.commands.bench.cases import Case, select
from xpbptt.commands.bench.measure import Effort, Row, measure
from xpbptt.commands.bench.options import QUICK, SECONDS

Head = dict[str, Any]
Show = Callable[[str], None]
LEAST, LEAST_QUICK = 5, 3  # rounds


@dataclass(frozen=True)
class Plan:
    """What a command asks for, read and checked before anything is measured."""

    xp: Any
    backend: str
    cases: list[Case]
    effort: Effort  # how long to measure each
    missing: Mapping[str, str]  # the peers that are not there, and why
    names: list[str]


def plan(chosen: argparse.Namespace) -> Plan:
    """Read the options.

    Raises UserError if anything has to be put right.
    """
    if chosen.profile and chosen.peer:
        message = "--profile looks at xpbptt alone: leave --peer out"
        raise UserError(message)
    document.probe(chosen.json)
    xp, backend = load_backend(chosen.backend, wide=True)
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


def run(chosen: argparse.Namespace) -> int:
    """Measure what the options ask for, show each row when it is done, and return the exit code.

    Raises UserError if anything has to be put right; nothing was measured. Raises TrainingError if
    a peer computed something else or the JSON could not be written, after everything was shown.
    """
    if chosen.model:
        for line in model.lines():
            document.shown(None)(line)
        return 0
    threads.limit_jax(chosen.threads)
    asked = plan(chosen)
    show = document.shown(chosen.json)
    with threads.limited(chosen.threads):
        head = machine.describe(asked.backend, chosen.threads, chosen.arguments, xp=asked.xp)
        for line in report.head(head, asked.missing):
            show(line)
        found, failure = (_profile if chosen.profile else _compare)(asked, head, show)
    document.write(chosen.json, found)
    if failure:
        raise TrainingError(failure)
    return 0


def _compare(asked: Plan, head: Head, show: Show) -> tuple[str, str]:
    """Return the report as JSON, and what is wrong with a peer."""
    for line in report.LEGEND:
        show(line)
    rows: list[Row] = []
    for case in asked.cases:
        if not rows or rows[-1].case.kind != case.kind:
            for line in report.title(case.kind, asked.names):
                show(line)
        how = {"xp": asked.xp, "backend": asked.backend, "threads": head["threads"]}
        rows.append(measure(case, asked.names, asked.effort, **how))
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
