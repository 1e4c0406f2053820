"""What a strategy is, and the plan that it answers with.

Symbols: T time steps, k steps of a segment, s snapshots.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import NamedTuple, Protocol


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

    What memory and time follow from, `tail`, `longest`, `again`, `sweeps` and the number of
    `snapshots`, is at hand in each plan; the moves and the places of the snapshots are generated
    when a pass needs them.

    Attributes
    ----------
    snapshots : collection of int
        Where the forward pass keeps the state, in rising order.
    tail : int
        From where to the end it keeps everything.
    moves : callable
        ``moves()`` yields each `Move` with which the backward pass comes back, the last segment
        first. It can be pickled, as a cache holds it.
    longest : int
        The most steps of a move.
    again : int
        The steps that the backward pass runs forward again: the sum of ``stop - source`` over the
        moves for which `runs_again` is True.
    sweeps : bool
        Whether some move starts after its snapshot, so that the steps between are run only to get
        from the one to the other.
    residuals : bool
        Whether a kept segment has its residuals, or they are computed again, for all steps of a
        move at once, when the backward pass gets there.
    truncate : int or None
        After every so many steps the gradient of the state is cut off.
    picked : Strategy or None
        The strategy whose plan this is, where one strategy picks another.
    """

    snapshots: Collection[int]
    tail: int
    moves: Callable[[], Iterable[Move]]
    longest: int
    again: int
    sweeps: bool = False
    residuals: bool = True
    truncate: int | None = None
    picked: "Strategy | None" = None

    def runs_again(self, move: Move) -> bool:
        """Tell whether the steps of a move have to be run again."""
        return self.residuals and move.start != self.tail

    def steps(self, length: int) -> int:
        """Return how many steps are run, the forward pass included."""
        return length + self.again


class Memory(Protocol):
    """The memory that plans take, for one net, its sizes and dtype; ``str()`` names the sizes."""

    @property
    def ratio(self) -> float:
        """The memory of everything kept of a step over that of one state."""

    def peak(self, plan: Plan) -> int:
        """Return the most bytes at any time of both passes, as `Cost.peak`."""


class Strategy(Protocol):
    """A value for ``forward(..., bptt=...)``.

    It is called for each forward pass, and for `Net.cost`, before any work is done. It should be
    hashable and compare by value, as a frozen dataclass does, and its `repr` appears in messages.
    """

    def plan(self, length: int, memory: Memory) -> Plan:
        """Return the plan for a sequence.

        Parameters
        ----------
        length : int
            The number of steps T, may be 0.
        memory : Memory
            What plans take: ``memory.ratio`` and ``memory.peak(plan)``. Both are computed when they
            are asked for, and a strategy that does not need them leaves them alone.

        Returns
        -------
        plan : Plan
            The plan. Its moves come back over each step once, the last step first.

        Raises
        ------
        ValueError
            Where no plan does what the strategy promises, as a `Budget` that is too small.
        """


def even_moves(length: int, size: int) -> Iterator[Move]:
    """Yield the moves that come back over segments of equal size, the last one first."""
    for start in reversed(range(0, length, size)):
        yield Move(start, (), start, min(start + size, length))
