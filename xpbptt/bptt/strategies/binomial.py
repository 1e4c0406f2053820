"""The schedule of Griewank and Walther: the fewest extra steps for a number of snapshots."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import partial
from math import comb

from xpbptt._arrays import check
from xpbptt.bptt.strategies.keep import whole
from xpbptt.bptt.strategies.plan import Memory, Move, Plan


@dataclass(frozen=True)
class Binomial:
    """Keep at most `snapshots` states at any time, with the least number of extra steps.

    The schedule of Griewank and Walther [1]_: with s snapshots and T ≤ C(s + r, s) the extra steps
    are r T - C(s + r, s + 1), r being the smallest such number.

    Parameters
    ----------
    snapshots : int
        The number s, the initial state among them.

    References
    ----------
    .. [1] A. Griewank and A. Walther, "Algorithm 799: revolve: an implementation of checkpointing
       for the reverse or adjoint mode of computational differentiation", ACM TOMS 26, 2000.
    """

    snapshots: int

    def __post_init__(self) -> None:
        """Refuse an invalid number."""
        check.whole("snapshots", self.snapshots)

    def plan(self, length: int, memory: Memory) -> Plan:  # noqa: ARG002 - the protocol's
        """Return the plan for `length` steps."""
        if length == 0:
            return whole(0)
        s, r = self.snapshots, _repeats(length, self.snapshots)
        moves = partial(_moves, length, s)
        again = r * length - comb(s + r, s + 1)
        return Plan(Marks(length, s), length - 1, moves, 1, again=again, sweeps=length > 1)


@dataclass(frozen=True)
class Marks(Collection[int]):
    """Where the forward pass keeps the state: their number at once, the places when iterated.

    All s are used, but T - 1 are enough to run no step more than once again.
    """

    length: int
    snapshots: int

    def __len__(self) -> int:
        return min(self.snapshots, max(self.length - 1, 1))

    def __iter__(self) -> Iterator[int]:
        yield 0
        yield from next(_moves(self.length, self.snapshots)).snapshots

    def __contains__(self, step: object) -> bool:
        return step in tuple(self)


def _moves(length: int, snapshots: int) -> Iterator[Move]:
    """Yield the moves that come back over each single step, the last one first.

    A stack holds spans of steps that are still to be gone back over, each with the snapshots that
    it may use, the one at its start among them.
    """
    stack = [(0, length, snapshots)]
    while stack:
        source, stop, free = stack.pop()
        start, taken = source, []
        while stop - start > 1 and free > 1:
            middle = start + _split(stop - start, free)
            stack.append((start, middle, free))
            taken.append(middle)
            start, free = middle, free - 1
        if stop - start > 1:  # one snapshot: everything starts from it again
            stack.append((start, stop - 1, 1))
        yield Move(source, tuple(t for t in taken if t < stop - 1), stop - 1, stop)


def _split(length: int, snapshots: int) -> int:
    """Return how far to advance before the next snapshot is best taken."""
    repeats = max(1, _repeats(length, snapshots))
    most = comb(snapshots + repeats - 1, snapshots)
    rest = comb(snapshots + repeats - 2, snapshots - 1)
    return max(1, min(most, length - rest))


def _repeats(length: int, snapshots: int) -> int:
    """Return the number r: how often a step is run again at most."""
    if snapshots == 1:
        return length - 1
    repeats = 0
    while comb(snapshots + repeats, snapshots) < length:
        repeats += 1
    return repeats
