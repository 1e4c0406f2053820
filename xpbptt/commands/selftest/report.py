"""The report, as lines of text and as JSON."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from xpbptt.commands.bench import report as bench
from xpbptt.commands.bench.measure import Row
from xpbptt.commands.selftest.check import FAILED, NOT_APPLICABLE, NOT_RUN, OK, Outcome

FENCE = "```"  # so that it keeps its columns where it is pasted
WIDTH = max(map(len, (OK, FAILED, NOT_APPLICABLE, NOT_RUN)))
NAME_WIDTH = 37
TITLES = {
    "checks": "Values and gradients",
    "budgets": "Budgets: waits, allocations",
    "bench": "Times",
    "suite": "Suite",
}


def line(outcome: Outcome) -> Iterator[str]:
    """Yield the lines of a check: what came of it, then what it says."""
    first, *more = outcome.detail.splitlines() or [""]
    yield f"{outcome.status:{WIDTH}}  {outcome.name:{NAME_WIDTH}}  {first}".rstrip()
    for each in more:
        yield f"{'':{WIDTH}}  {each}".rstrip()


def result(sections: Mapping[str, Sequence[Outcome]], interrupted: str) -> Iterator[str]:
    """Yield the lines at the end: how much is well, and what is not."""
    outcomes = [outcome for section in sections.values() for outcome in section]
    yield ""
    if interrupted:
        yield f"INTERRUPTED in the section {TITLES[interrupted]!r}; what follows was not done"
    yield f"Result: {_count(outcomes)}"
    for outcome in outcomes:
        if outcome.status == FAILED:
            yield f"{FAILED}: {outcome.name}"


def _count(outcomes: Iterable[Outcome]) -> str:
    found = Counter(outcome.status for outcome in outcomes)
    counted = [f"{found[status]} {status}" for status in (OK, FAILED, NOT_APPLICABLE)]
    return ", ".join([*counted, *([f"{found[NOT_RUN]} {NOT_RUN}"] if found[NOT_RUN] else [])])


def as_json(
    head: Mapping[str, Any],
    missing: Mapping[str, str],
    sections: Mapping[str, Sequence[Outcome]],
    rows: Sequence[Row],
    interrupted: str,
) -> str:
    """Return the report as JSON."""
    whole = json.loads(bench.as_json(head, missing, rows))
    whole |= {name: [each._asdict() for each in section] for name, section in sections.items()}
    return json.dumps(whole | {"interrupted": interrupted}, indent=1, ensure_ascii=False)
