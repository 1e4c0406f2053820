"""Strategies that run no step again: all is kept, or the states."""

from dataclasses import dataclass
from functools import partial

from xpbptt._arrays import check
from xpbptt.bptt.strategies.plan import Memory, Move, Plan, even_moves

SPAN = 32  # steps whose residuals are computed at once where the states are kept


def whole(length: int, *, truncate: int | None = None) -> Plan:
    """Return the plan that keeps everything and comes back in one move."""
    move = Move(0, (), 0, length)
    return Plan((), 0, partial(iter, (move,)), length, again=0, truncate=truncate)


@dataclass(frozen=True)
class KeepAll:
    """Keep all states and residuals: the fastest, with the most memory.

    Examples
    --------
    >>> import xpbptt
    >>> xpbptt.LSTM(3, 5).cost(1000, 8, bptt=xpbptt.KeepAll()).steps
    1000
    """

    def plan(self, length: int, memory: Memory) -> Plan:  # noqa: ARG002 - the protocol's
        """Return the plan for `length` steps."""
        return whole(length)


@dataclass(frozen=True)
class KeepStates:
    """Keep the states only, and compute the residuals again without running through time.

    The states being there, the gates of many steps follow at once, from one product for the input
    and one for the state; the backward pass does so for `SPAN` steps at a time, which stay in the
    cache. A third of the memory of `KeepAll` for an LSTM, a fifth for a GRU.
    """

    def plan(self, length: int, memory: Memory) -> Plan:  # noqa: ARG002 - the protocol's
        """Return the plan for `length` steps."""
        if length == 0:
            return whole(0)
        moves = partial(even_moves, length, SPAN)
        return Plan((), 0, moves, min(SPAN, length), again=0, residuals=False)


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
        """Refuse an invalid length."""
        check.whole("length", self.length)

    def plan(self, length: int, memory: Memory) -> Plan:  # noqa: ARG002 - the protocol's
        """Return the plan for `length` steps."""
        return whole(length, truncate=self.length)
