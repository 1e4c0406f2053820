"""A bound in bytes, within which the fastest strategy is picked."""

import logging
from bisect import bisect_right
from dataclasses import dataclass

from xpbptt._arrays import check
from xpbptt.bptt.strategies.binomial import Binomial
from xpbptt.bptt.strategies.keep import KeepAll, KeepStates
from xpbptt.bptt.strategies.plan import Memory, Plan, Strategy
from xpbptt.bptt.strategies.segments import Segments

log = logging.getLogger("xpbptt")


@dataclass(frozen=True)
class Budget:
    """Pick the fastest of the strategies above that fits into so much memory.

    Which one it is, ``net.cost(T, B, dtype, bptt=Budget(...)).strategy`` tells beforehand, on CuPy
    with ``xp=cupy``. Where none fits, `Net.forward` raises, with the least possible figure, before
    any work.

    Parameters
    ----------
    bytes : int
        The most that `Cost.peak` may be.
    """

    bytes: int

    def __post_init__(self) -> None:
        """Refuse an invalid number."""
        check.whole("bytes", self.bytes)

    def plan(self, length: int, memory: Memory) -> Plan:
        """Return the plan of the strategy that is picked."""

        def peak(strategy: Strategy) -> int:
            return memory.peak(strategy.plan(length, memory))

        plain: tuple[Strategy, ...] = (KeepAll(), KeepStates(), Segments())
        for strategy in plain:
            if peak(strategy) <= self.bytes:
                return _picked(strategy, length, memory)
        # More snapshots take more memory and fewer steps, and more than T - 1 are of no use.
        numbers = range(1, max(length, 2))
        most = bisect_right(numbers, self.bytes, key=lambda number: peak(Binomial(number)))
        if most:
            return _picked(Binomial(most), length, memory)
        best = min((*plain, Binomial(1)), key=peak)
        message = (
            f"`bptt` has a budget of {self.bytes} bytes, but the least possible is {peak(best)}, "
            f"with {best}, for {memory}"
        )
        raise ValueError(message)


def _picked(strategy: Strategy, length: int, memory: Memory) -> Plan:
    log.info("the budget is met by %r", strategy)
    return strategy.plan(length, memory)._replace(picked=strategy)
