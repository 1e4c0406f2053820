"""What the runs over a part of a sequence, a *segment*, are given and give."""

from typing import Any, NamedTuple, cast

from xpbptt._arrays.tree import map_leaves
from xpbptt._arrays.types import AnyArray, Arrays, Namespace, Tree
from xpbptt.bptt.engines.resets import Resets
from xpbptt.bptt.engines.trace import Trace
from xpbptt.bptt.layers.layer import Watch
from xpbptt.bptt.layers.noise import Noise
from xpbptt.cells.recurrence import Recurrence
from xpbptt.kernels.target import HandBack


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
        What the engine prepared of the parameters for running forward.
    resets : Resets or None
        Which steps begin with the initial state again.
    noise : Noise or None
        Recurrent dropout and zoneout.
    """

    params: Tree
    x: AnyArray
    mask: AnyArray | None
    weights: Any = None
    resets: Resets | None = None
    noise: Noise | None = None

    def part(self, steps: slice) -> "Inputs":
        """Return what is read at some of the steps."""
        mask = None if self.mask is None else self.mask[steps, ...]
        resets = None if self.resets is None else self.resets.part(steps)
        noise = self.noise
        if noise is not None:
            noise = noise._replace(first=noise.first + steps.start)
        return self._replace(x=self.x[steps, ...], mask=mask, resets=resets, noise=noise)

    @property
    def zoned(self) -> bool:
        """Whether some part of the state is left what it was here and there."""
        return self.noise is not None and bool(self.noise.zoned)

    def factors(self, part: AnyArray, *, xp: Namespace) -> AnyArray:
        """Return what the output is multiplied by where W_hh reads it; None for nothing."""
        return None if self.noise is None else self.noise.factors(part, xp=xp)

    def multiplied(self, of: Recurrence, states: Arrays, *, xp: Namespace) -> Arrays:
        """Return states (T, B, H) with the part that W_hh reads as it reads it."""
        place = of.drops
        if self.noise is None or place is None or not self.noise.rates.recurrent:
            return states
        factors = self.noise.factors(states[place][0, ...], xp=xp)
        return (*states[:place], states[place] * factors, *states[place + 1 :])

    def zones(self, state: Arrays, *, xp: Namespace) -> tuple[Any, ...]:
        """Return where each part of the state is left what it was; empty for nowhere."""
        if not self.zoned:
            return ()
        noise = cast("Noise", self.noise)
        return noise.zones(self.x.shape[0], state, xp=xp)


class Segment(NamedTuple):
    """Steps that were kept.

    Attributes
    ----------
    states : tuple of arrays (T + 1, B, H)
        The parts of the state before each step and after the last one.
    residuals : tuple of arrays (T, B, …) or None
        The residuals; None if they are to be computed again.
    """

    states: Arrays
    residuals: Arrays | None

    def part(self, start: int, stop: int) -> "Segment":
        """Return the steps from `start` to before `stop`."""
        states = tuple([part[start : stop + 1, ...] for part in self.states])
        if self.residuals is None:
            return Segment(states, None)
        return Segment(states, tuple([part[start:stop, ...] for part in self.residuals]))


class Back(NamedTuple):
    """How to go back over a segment.

    Attributes
    ----------
    dy : array (T, B, H)
        The gradient of the segment's outputs.
    hand_back : HandBack
        What is done to the gradient that a step hands to the step before.
    watch : Watch
        The options of the backward pass.
    dstates : named tuple of arrays (T, B, H) or None
        The gradients of the state after each step, beside that of the output.
    sums : tree of arrays or None
        The gradients of the parameters by later segments. An engine may add its own to them and
        return these very arrays.
    """

    dy: AnyArray
    hand_back: HandBack
    watch: Watch
    dstates: Tree = None
    sums: Tree = None

    def part(self, steps: slice) -> "Back":
        """Return how to go back over some of the steps."""
        dstates = map_leaves(lambda part: part[steps, ...], self.dstates)
        hand_back = self.hand_back._replace(first=self.hand_back.first + steps.start)
        return self._replace(dy=self.dy[steps, ...], hand_back=hand_back, dstates=dstates)


class Rewound(NamedTuple):
    """What comes out of a segment.

    Attributes
    ----------
    params, x, state : tree of arrays
        The gradients; that of the state is the state's before the segment.
    trace : Trace or None
        The norms on the way, if they are wanted.
    initial : tree of arrays or None
        The gradient of the initial state by the resets in the segment, if there are any.
    """

    params: Tree
    x: AnyArray
    state: Tree
    trace: Trace | None = None
    initial: Tree = None
