"""The report, as lines of text and as JSON."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from xpbptt.commands.bench.measure import Entry, Row
from xpbptt.commands.bench.timing import Times

TITLES = {
    "train": "Forward and backward with the gradients of input, weights and biases, ms",
    "masked": "The same on sequences of T/2 to T steps (torch: packed; JAX: where), ms",
    "infer": "Forward alone, nothing kept for a backward pass, ms",
    "step": "One time step of a stream, by net.step, µs",
    "stream": "One time step of a stream, by net.stream, µs",
}
LEGEND = (
    "",
    "Medians of runs that take turns. ratio: the time of xpbptt by that of the one before it, so",
    "below 1 xpbptt is faster. floor: the matrix products alone, on the same library. kept: bytes",
    "from forward to backward. engine: what runs the steps of xpbptt.",
)
BUSY = 1.25  # who keeps so many times the cores asked for busy is named


def head(found: Mapping[str, Any], missing: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines above the tables."""
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    threads = found["threads"]
    yield f"xpbptt {found['xpbptt']} on {found['backend']}, {found['date']}"
    yield f"command   {found['command']}"
    yield f"machine   {found['cpu']}, {found['cores']} cores; {found['machine']}"
    yield f"device    {found['device']}"
    if threads is not None:
        but = "" if found["threads_fixed"] else ", but not for all libraries"
        yield f"threads   {threads}{but}"
    yield f"software  Python {found['python']}, {versions}; BLAS {found['blas']}"
    for name, reason in missing.items():
        yield f"missing   {name}: {reason}"
    for line in found["warnings"]:
        yield f"WARNING   {line}"


def title(kind: str, names: Sequence[str]) -> Iterator[str]:
    """Yield the lines above the rows of a kind."""
    yield ""
    yield TITLES[kind]
    others = " ".join(f"{name:>{_width(name)}} {'ratio':>6}" for name in ("floor", *names))
    shape = f"{'T':>5} {'B':>4} {'I=H':>5}"
    yield f"{'cell':4} {'dtype':7} {shape} {'xpbptt':>9} {others} {'kept':>8} {'engine':>9}"


def line(row: Row) -> str:
    """Return the line of a row."""
    case = row.case
    unit = 1e6 / case.steps if case.streamed else 1e3
    shape = f"{1 if case.streamed else case.steps:5} {case.batch:4} {case.size:5}"
    floor = _beside(row, row.floor, unit, _width("floor"))
    others = [
        _beside(row, entry.times, unit, _width(name))
        if entry.times
        else f"{_short(entry):>{_width(name) + 7}}"
        for name, entry in row.peers.items()
    ]
    return " ".join([
        f"{case.cell:4} {case.dtype:7} {shape} {_time(row.ours.median * unit)}",
        *(floor, *others, f"{_bytes(row.kept):>8}", f"{row.engine:>9}"),
    ])  # fmt: skip


def foot(rows: Sequence[Row], threads: int, backend: str) -> Iterator[str]:
    """Yield the lines below the tables: what a reader would otherwise not know."""
    busy: dict[str, float] = {}
    for row in rows:
        timed = {name: entry.times for name, entry in row.peers.items() if entry.times}
        for name, times in {"xpbptt": row.ours, "floor": row.floor, **timed}.items():
            busy[name] = max(busy.get(name, 0.0), times.cores)
    for name, cores in busy.items():
        if cores > BUSY * threads and backend != "cupy":
            yield f"{name} kept up to {cores:.1f} cores busy, {threads} asked for"


def as_json(found: Mapping[str, Any], missing: Mapping[str, str], rows: Sequence[Row]) -> str:
    """Return the report as JSON; times are in seconds, of a whole row."""
    whole = {**found, "missing": dict(missing), "rows": [_record(row) for row in rows]}
    return json.dumps(whole, indent=1, ensure_ascii=False)


def _record(row: Row) -> dict[str, Any]:
    return {
        **row.case._asdict(),
        "xpbptt": row.ours._asdict(),
        "floor": {**row.floor._asdict(), "ratio": _finite(row.ratio(row.floor))},
        "peers": {
            name: {
                "note": entry.note,
                "difference": _finite(entry.difference),
                **(
                    {**entry.times._asdict(), "ratio": _finite(row.ratio(entry.times))}
                    if entry.times
                    else {}
                ),
            }
            for name, entry in row.peers.items()
        },
        "kept_bytes": row.kept,
        "engine": row.engine,
    }


def _finite(number: float | None) -> float | None:
    """Return a number that JSON has."""
    return number if number is not None and math.isfinite(number) else None


def _beside(row: Row, times: Times, unit: float, width: int) -> str:
    return f"{_time(times.median * unit):>{width}} {row.ratio(times):6.2f}"


def _width(name: str) -> int:
    """Return the width of the column of times under a name."""
    return max(len(name), 9)


def _short(entry: Entry) -> str:
    return f"differs {entry.difference:.0e}" if entry.wrong else f"{entry.note:.16}"


def _time(number: float) -> str:
    """Write a number with three digits or more."""
    return f"{number:9.2f}" if number < 100 else f"{number:9.0f}"  # noqa: PLR2004 - three digits


def _bytes(number: int) -> str:
    """Write a number of bytes with the unit that suits it."""
    size = float(number)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:  # noqa: PLR2004 - the unit
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} GiB"
