"""tanh, exp and sigmoid on vectors, from the four operations.

All come from exp(y) = 2ⁿ exp(r) with y = n ln 2 + r and |r| ≤ ln 2 / 2, where the Taylor series of
exp(r) - 1 = r + r²/2! + r³/3! + … is short, and tanh(x) = (exp(2x) - 1) / (exp(2x) + 1). Against
exact values the error is at most 2.9 units in the last place, also near 0 and where results are
subnormal. sigmoid takes exp(-|x|), which does not overflow and keeps the precision of small values.

The functions are traced like a cell's.
"""

import math
from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

from xpbptt.kernels.symbols import Graph, Symbol, Tracing

LN_2 = Decimal("0.693147180559945309417232121458176568")
LIFT = 64  # 2 to this power times exp(-x) is not subnormal for large x, and neither is its 2ⁿ


class Format(NamedTuple):
    """A floating-point format, and what the functions need of it.

    Attributes
    ----------
    mantissa, bias : int
        The bits of its fraction, and the exponent of 1.
    terms : int
        The last term of the series, such that the next one is below half a unit in the last place.
    high : float
        The first bits of ln 2, so few that the products with n are exact.
    saturated : float
        The least x such that tanh(x) is 1.
    extreme : float
        Such that exp(x) is infinite above it, and exp(-x) is 0.
    """

    mantissa: int
    bias: int
    terms: int
    high: float
    saturated: float
    extreme: float


FORMATS = {
    "float": Format(23, 127, 7, float.fromhex("0x1.62e4p-1"), 10, 104),
    "double": Format(52, 1023, 13, float.fromhex("0x1.62e42feep-1"), 22, 746),
}


class Functions:
    """The functions on symbols of a format."""

    def __init__(self, form: Format, graph: Graph) -> None:
        self._form = form
        self._graph = graph
        self._xp = Tracing(graph)

    def tanh(self, x: Symbol) -> Symbol:
        """Return (exp(2x) - 1) / (exp(2x) + 1)."""
        scale, p = self._parts(self._within(x + x, 2 * self._form.saturated))
        less_one = scale * p + (scale - 1)
        return less_one / (less_one + 2)

    def exp(self, x: Symbol) -> Symbol:
        """Return exp(x/2)², so that the scale is finite wherever the result is."""
        scale, p = self._parts(self._within(x, self._form.extreme) * 0.5)
        root = scale * p + scale
        return root * root

    def sigmoid(self, x: Symbol) -> Symbol:
        """Return 1 / (1 + exp(-x))."""
        y = self._within(-abs(x), self._form.extreme)
        scale, p = self._parts(y, LIFT)
        e = (scale * p + scale) * 2.0**-LIFT
        return self._xp.where(x < 0, e, 1) / (1 + e)

    def _parts(self, y: Symbol, lift: int = 0) -> tuple[Symbol, Symbol]:
        """Return 2ⁿ, times 2 to the power `lift`, and exp(r) - 1."""
        form = self._form
        magic = 1.5 * 2**form.mantissa  # added to a number, it leaves no bits for a fraction
        shifted = y * (1 / math.log(2)) + (magic + lift)
        n = shifted - (magic + lift)
        r = y - n * form.high
        r = r - n * float(LN_2 - Decimal(form.high))
        p = self._graph.lift(1 / math.factorial(form.terms))
        for k in range(form.terms - 1, 1, -1):
            p = p * r + 1 / math.factorial(k)
        return self._graph.add("power_of_two", shifted.place), p * r * r + r

    def _within(self, x: Symbol, limit: float) -> Symbol:
        """Return x, at least -limit and at most limit; NaN stays."""
        xp = self._xp
        x = xp.where(x > limit, limit, x)
        return xp.where(x < -limit, -limit, x)


def traced(name: str, number: str) -> tuple[Graph, Symbol]:
    """Return the graph of a function of a type of number, whose only load is x, and its value."""
    graph = Graph()
    x = graph.add("load", "x")
    function: Callable[[Symbol], Symbol] = getattr(Functions(FORMATS[number], graph), name)
    return graph, function(x)
