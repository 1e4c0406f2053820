"""How the backward pass pays for memory: values that the one loop over time is given.

Going back over a step needs the states around it and its residuals. They can be kept from the
forward pass, or computed again from a state that was kept, a *snapshot*. A strategy answers with a
`Plan`: which states to keep on the way forward, and by which moves to come back.

Symbols: T time steps, k steps of a segment, s snapshots.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from math import comb
from typing import NamedTuple, Protocol

from xpbptt._arrays import check

SPAN = 32  # steps whose residuals are computed at once where the states are kept


class Move(NamedTuple):
    """One move of the backward pass: run a segment again, keeping everything, and go back over it.

    Attributes
    ----------
    source : int
        The snapshot to start from.
    snapshots : tuple of int
        Where to take snapshots on the way from `source` to `start`.
    start, stop : int
        The segment.
    """

    source: int
    snapshots: tuple[int, ...]
    start: int
    stop: int


class Plan(NamedTuple):
    """What a strategy does with a sequence of T steps.

    Attributes
    ----------
    snapshots : tuple of int
        Where the forward pass keeps the state.
    tail : int
        From where to the end it keeps everything.
    moves : callable
        ``moves()`` yields each `Move` with which the backward pass comes back, the last segment
        first. It can be pickled, as a cache holds it.
    longest : int
        The most steps of a move.
    residuals : bool
        Whether a kept segment has its residuals, or they are computed again, for all steps of a
        move at once, when the backward pass gets there.
    truncate : int or None
        After every so many steps the gradient of the state is cut off.
    """

    snapshots: tuple[int, ...]
    tail: int
    moves: Callable[[], Iterable[Move]]
    longest: int
    residuals: bool = True
    truncate: int | None = None

    def runs_again(self, move: Move) -> bool:
        """Tell whether the steps of a move have to be run again."""
        return self.residuals and move.start != self.tail

    def steps(self, length: int) -> int:
        """Return how many steps are run, the forward pass included."""
        return length + sum(m.stop - m.source for m in self.moves() if self.runs_again(m))


class Strategy(Protocol):
    """A value for ``forward(..., bptt=...)``."""

    def plan(self, length: int, ratio: Callable[[], float]) -> Plan:
        """Return the plan for `length` steps.

        `ratio()` is the memory of everything kept of a step over that of one state.
        """


def _keep(length: int, *, truncate: int | None = None) -> Plan:
    whole = Move(0, (), 0, length)
    return Plan((), 0, partial(iter, (whole,)), length, truncate=truncate)


@dataclass(frozen=True)
class KeepAll:
    """Keep all states and residuals: the fastest, with the most memory.

    Examples
    --------
    >>> import xpbptt
    >>> xpbptt.LSTM(3, 5).cost(1000, 8, bptt=xpbptt.KeepAll()).steps
    1000
    """

    def plan(self, length: int, ratio: Callable[[], float]) -> Plan:  # noqa: ARG002 - the protocol's
        """Return the plan for `length` steps."""
        return _keep(length)


@dataclass(frozen=True)
class KeepStates:
    """Keep the states only, and compute the residuals again without running through time.

    The states being there, the gates of many steps follow at once, from one product for the input
    and one for the state; the backward pass does so for `SPAN` steps at a time, which stay in the
    cache. A third of the memory of `KeepAll` for an LSTM, a fifth for a GRU.
    """

    def plan(self, length: int, ratio: Callable[[], float]) -> Plan:  # noqa: ARG002 - the protocol's
        """Return the plan for `length` steps."""
        if length == 0:
            return _keep(0)
        moves = partial(_even_moves, length, SPAN)
        return Plan((), 0, moves, min(SPAN, length), residuals=False)


@dataclass(frozen=True)
class Truncated:
    """Cut the gradient of the state every `length` steps; outputs stay what they are.

    Truncated backpropagation through time within one call. Memory is that of `KeepAll`.

    Parameters
    ----------
    length : int
        The number of steps k between two cuts, counted from where the layer starts to read.
    """

    length: int

    def __post_init__(self) -> None:
        """Refuse a length that is none."""
        check.whole("length", self.length)

    def plan(self, length: int, ratio: Callable[[], float]) -> Plan:  # noqa: ARG002 - the protocol's
        """Return the plan for `length` steps."""
        return _keep(length, truncate=self.length)


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
        """Refuse a length that is none."""
        if self.length is not None:
            check.whole("length", self.length)

    def plan(self, length: int, ratio: Callable[[], float]) -> Plan:
        """Return the plan for `length` steps."""
        if length == 0:
            return _keep(0)
        size = self.length or max(1, round((length / ratio()) ** 0.5))
        moves = partial(_even_moves, length, size)
        return Plan(tuple(range(0, length, size)), length, moves, min(size, length))


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
        """Refuse a number that is none."""
        check.whole("snapshots", self.snapshots)

    def plan(self, length: int, ratio: Callable[[], float]) -> Plan:  # noqa: ARG002 - the protocol's
        """Return the plan for `length` steps."""
        if length == 0:
            return _keep(0)
        first = next(_binomial_moves(length, self.snapshots))
        marks = (0, *first.snapshots)
        return Plan(marks, first.start, partial(_binomial_moves, length, self.snapshots), 1)


@dataclass(frozen=True)
class Budget:
    """Pick the fastest of the strategies above that fits into so much memory.

    Which one it is, ``net.cost(T, B, dtype, bptt=Budget(...)).strategy`` tells beforehand. Where
    none fits, `Net.forward` raises, with the least possible figure, before any work.

    Parameters
    ----------
    bytes : int
        The most that `Cost.peak` may be.
    """

    bytes: int

    def __post_init__(self) -> None:
        """Refuse a number that is none."""
        check.whole("bytes", self.bytes)

    def plan(self, length: int, ratio: Callable[[], float]) -> Plan:  # noqa: ARG002 - the protocol's
        """Refuse: the plan depends on the sizes of a net."""
        message = "a Budget has no plan of its own; a net picks a strategy for it"
        raise TypeError(message)


def _even_moves(length: int, size: int) -> Iterator[Move]:
    """Yield the moves that come back over segments of equal size, the last one first."""
    for start in reversed(range(0, length, size)):
        yield Move(start, (), start, min(start + size, length))


def _binomial_moves(length: int, snapshots: int) -> Iterator[Move]:
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
    repeats = 1
    while comb(snapshots + repeats, snapshots) < length:
        repeats += 1
    most = comb(snapshots + repeats - 1, snapshots)
    rest = comb(snapshots + repeats - 2, snapshots - 1)
    return max(1, min(most, length - rest))
