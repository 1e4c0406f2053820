"""What the runs over a part of a sequence, a *segment*, are given and give."""

from typing import Any, NamedTuple

from xpbptt.bptt.engines.tape import Tape
from xpbptt.bptt.engines.trace import Trace
from xpbptt.bptt.layers.layer import Array, Namespace, Tree, Watch
from xpbptt.cells.recurrence import Recurrence

CHUNK = 32  # steps whose input products are made at once, where they need not all be
ROWS = 1024  # in a product of matrices that make it worth its while
NUMBERS = 2**18  # of states that stay in the cache with what else their steps make


def longest(batch: int, width: int, numbers: int) -> int:
    """Return of how many steps, at least one, the buffers hold about that many numbers.

    Parameters
    ----------
    batch : int
        The number of sequences B.
    width : int
        The numbers that a step of one sequence has in the buffers.
    numbers : int
        The most numbers. There are more where the matrices of a product had too few rows.
    """
    return max(1, max(ROWS, numbers // width) // max(1, batch))


def pieces(steps: int, most: int) -> list[slice]:
    """Split so many steps into equally long pieces, or about so, each of 1 to `most` steps."""
    count = -(-steps // most)
    ends = [k * steps // count for k in range(1, count + 1)]
    return list(map(slice, [0, *ends], ends))


class Inputs(NamedTuple):
    """What a layer reads.

    Attributes
    ----------
    params : tree of arrays
        The parameters.
    x : array (T, B, I)
        The whole input.
    mask : array (T, B) or None
        Its mask.
    weights : object
        What the recurrence prepared of the parameters for running forward.
    """

    params: Tree
    x: Array
    mask: Array | None
    weights: Any = None

    @classmethod
    def read(
        cls, recurrence: Recurrence, params: Tree, x: Array, mask: Array | None, *, xp: Namespace
    ) -> "Inputs":
        """Prepare the parameters for running forward."""
        return cls(params, x, mask, recurrence.prepare(params, x.shape[0], xp=xp))

    def part(self, steps: slice) -> "Inputs":
        """Return what is read at some of the steps."""
        mask = None if self.mask is None else self.mask[steps, ...]
        return self._replace(x=self.x[steps, ...], mask=mask)


class Segment(NamedTuple):
    """Steps that were kept: the states before each and after the last, and the residuals or None.

    The residuals are computed again if they are None.
    """

    states: Tape
    residuals: Tape | None

    def part(self, start: int, stop: int, *, xp: Namespace) -> "Segment":
        """Return the steps from `start` to before `stop`."""
        if (start, stop + 1) == (0, self.states.length):
            return self
        states = Tape.of(self.states.stacked(start, stop + 1), xp=xp)
        if self.residuals is None:
            return Segment(states, None)
        return Segment(states, Tape.of(self.residuals.stacked(start, stop), xp=xp))


class Back(NamedTuple):
    """How to go back over a segment.

    Attributes
    ----------
    dy : array (T, B, H)
        The gradient of the segment's outputs.
    first : int
        The segment's first step, counted from where the layer starts to read.
    truncate : int or None
        After every so many steps the gradient of the state is cut off.
    watch : Watch
        What to do beside.
    """

    dy: Array
    first: int
    truncate: int | None
    watch: Watch

    def cuts(self, t: int) -> bool:
        """Tell whether nothing is handed back from the segment's step `t`."""
        step = self.first + t
        return bool(self.truncate and step and step % self.truncate == 0)


class Retraced(NamedTuple):
    """The gradients that come out of a segment, and their norms on the way if they are wanted."""

    params: Tree
    x: Array
    state: Tree
    trace: Trace | None = None
