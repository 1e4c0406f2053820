"""Segments of equal length, each run again from the state before it."""

from dataclasses import dataclass
from functools import partial

from xpbptt._arrays import check
from xpbptt.bptt.strategies.keep import whole
from xpbptt.bptt.strategies.plan import Memory, Plan, even_moves


@dataclass(frozen=True)
class Segments:
    """Keep the state every `length` steps, and run each segment again: one extra forward pass.

    Parameters
    ----------
    length : int, optional
        The number of steps k of a segment. Default: √(T / ratio), where the snapshots and the one
        segment that is kept in full together take least memory.
    """

    length: int | None = None

    def __post_init__(self) -> None:
        """Refuse an invalid length."""
        if self.length is not None:
            check.whole("length", self.length)

    def plan(self, length: int, memory: Memory) -> Plan:
        """Return the plan for `length` steps."""
        if length == 0:
            return whole(0)
        size = self.length or max(1, round((length / memory.ratio) ** 0.5))
        moves = partial(even_moves, length, size)
        return Plan(range(0, length, size), length, moves, min(size, length), again=length)
