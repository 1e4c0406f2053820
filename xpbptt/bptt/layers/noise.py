"""Noise inside the loop over time: recurrent dropout and zoneout, from a key alone as dropout.

Recurrent dropout [1]_ multiplies the state that W_hh reads by one mask for a whole sequence, each
element of which is zero with probability p and else 1 / (1 - p). Zoneout [2]_ leaves an element of
the state what it was before the step with probability p, anew at every step.

References
----------
.. [1] Y. Gal and Z. Ghahramani, "A theoretically grounded application of dropout in recurrent
   neural networks", NeurIPS 2016.
.. [2] D. Krueger et al., "Zoneout: regularizing RNNs by randomly preserving hidden activations",
   ICLR 2017.
"""

from typing import Any, NamedTuple

from xpbptt._arrays.types import AnyArray, Arrays, Namespace
from xpbptt.bptt.layers.dropout import kept

PARTS = 16  # keys of a layer: of recurrent dropout, then of each part of the state
APART = 2**20  # from the keys of the dropout between layers


class Rates(NamedTuple):
    """The noise of a layer in one direction.

    Attributes
    ----------
    recurrent : float
        The rate of recurrent dropout.
    zoneout : tuple of float
        The rate of zoneout of each part of the state; empty where there is none.
    number : int
        What tells apart several such layers under one key.
    """

    recurrent: float = 0.0
    zoneout: tuple[float, ...] = ()
    number: int = 0


class Noise(NamedTuple):
    """The noise of some steps of a layer.

    Attributes
    ----------
    rates : Rates
        How much.
    key : int
        What it follows from.
    first : int
        The number of the first step.
    """

    rates: Rates
    key: int
    first: int = 0

    @property
    def zoned(self) -> tuple[bool, ...]:
        """Which parts of the state are left what they were here and there."""
        found = tuple(rate > 0 for rate in self.rates.zoneout)
        return found if any(found) else ()

    def _key(self, place: int) -> int:
        return self.key + APART + PARTS * self.rates.number + place

    def factors(self, part: AnyArray, *, xp: Namespace) -> Any:
        """Return what the state (B, H) that W_hh reads is multiplied by; None for nothing."""
        rate = self.rates.recurrent
        if not rate:
            return None
        keep = kept(tuple(part.shape), rate, self._key(0), like=part, xp=xp)
        return xp.where(keep, xp.full_like(part, 1 / (1 - rate)), xp.zeros_like(part))

    def zones(self, steps: int, state: Arrays, *, xp: Namespace) -> tuple[Any, ...]:
        """Return where the parts of the state are left what they were, (T, B, H) each or None."""
        return tuple(
            ~kept(
                (steps, *part.shape),
                rate,
                self._key(place),
                first=self.first * part.shape[0] * part.shape[1],
                like=part,
                xp=xp,
            )
            if rate
            else None
            for place, (part, rate) in enumerate(zip(state, self.rates.zoneout, strict=True), 1)
        )
