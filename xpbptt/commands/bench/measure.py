"""Measuring a row: first whether everyone computes the same, then how long each takes."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from xpbptt.commands.bench import floors, ours, peers
from xpbptt.commands.bench.cases import Case
from xpbptt.commands.bench.contestant import TOLERANCE, Contestant, difference
from xpbptt.commands.bench.problem import Problem, draw
from xpbptt.commands.bench.timing import Runner, Times, clock, interleave

OURS, FLOOR = "xpbptt", "floor"


class Entry(NamedTuple):
    """One peer in a row."""

    times: Times | None  # None where it was not timed
    # How far its values are from those of xpbptt; None where it does not compute this row.
    difference: float | None
    note: str  # its version and device, or why it was not timed

    @property
    def wrong(self) -> bool:
        """Whether it was not timed because its values differ."""
        return self.times is None and self.difference is not None


class Row(NamedTuple):
    """What was found out about a row."""

    case: Case
    ours: Times  # xpbptt, and the products alone
    floor: Times
    peers: dict[str, Entry]
    # The bytes that a forward pass keeps for the backward pass: none where nothing is trained; of a
    # stream those of its state.
    kept: int
    engine: str  # the engine that runs the steps of xpbptt

    def ratio(self, other: Times) -> float:
        """Return the time of xpbptt by another one of the same run; infinite by none at all."""
        return self.ours.median / other.median if other.median else math.inf


class Effort(NamedTuple):
    """How long to measure a row: for so many seconds, and at least so many rounds."""

    seconds: float
    rounds: int


def measure(
    case: Case, names: Sequence[str], effort: Effort, *, xp: Any, backend: str, threads: int = 1
) -> Row:
    """Measure a row."""
    problem = draw(case, xp=xp, backend=backend, threads=threads)
    contestant = ours.make(problem)
    values = contestant.compute()
    made = {name: peers.make(name, problem) for name in names}
    present = {name: peer for name, peer in made.items() if isinstance(peer, Contestant)}
    apart = {name: difference(values, peer.compute()) for name, peer in present.items()}
    right = {name for name, found in apart.items() if found <= TOLERANCE[case.dtype]}

    floor = Runner(floors.products(problem).run, clock(backend, on_gpu=problem.on_gpu))
    runners = {OURS: contestant.runner(), FLOOR: floor}
    runners |= {name: peer.runner() for name, peer in present.items() if name in right}
    for runner in runners.values():
        runner.clock.measure(runner.run)
    times = interleave(runners, effort.seconds, effort.rounds)

    entries = {
        name: Entry(times.get(name), apart.get(name), _note(peer, name in right))
        for name, peer in made.items()
    }
    return Row(case, times[OURS], times[FLOOR], entries, kept(problem), ours.engine(problem))


def _note(peer: Contestant | str, right: bool) -> str:  # noqa: FBT001 - private
    if isinstance(peer, str):
        return peer
    return peer.where if right else f"{peer.where}: other values, not timed"


def kept(problem: Problem) -> int:
    """Return the bytes that a forward pass keeps; of a stream the bytes of its state."""
    case = problem.case
    if case.streamed:
        parts = 2 if case.cell == "lstm" else 1
        return parts * case.batch * case.size * np.dtype(case.dtype).itemsize
    if not case.trained:
        return 0
    return problem.net.cost(case.steps, case.batch, case.dtype).bytes
