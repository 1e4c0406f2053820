"""Elementary functions on vectors, from the four operations.

All come from exp(y) = 2ⁿ exp(r) with y = n ln 2 + r and |r| ≤ ln 2 / 2, where the Taylor series of
exp(r) - 1 = r + r²/2! + r³/3! + … is short, and tanh(x) = (exp(2x) - 1) / (exp(2x) + 1). Against
exact values the error is at most 2.9 units in the last place, also near 0 and where results are
subnormal. sigmoid takes exp(-|x|), which does not overflow and keeps the precision of small values.

log(m 2ⁿ) = n ln 2 + log(m) with √½ ≤ m < √2, and log(1 + f) = 2 atanh(f / (2 + f)), a short series.
sin and cos take off multiples of π/2 in four parts, of which all but the last have so few bits that
their products are exact; numbers beyond are left to the platform's library, one by one.

The functions are traced like a cell's.
"""

import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from xpbptt.kernels.symbols import Graph, Symbol, Tracing

LN_2 = Decimal("0.693147180559945309417232121458176568")
PI_2 = Fraction("1.5707963267948966192313216916397514420985846996875529104874722961")
PARTS = 4  # of π/2
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
    root : int
        The bits of √½.
    odd, turns : int
        The terms of the series of atanh, and of sin and cos.
    alone : float
        Such that exp(x) - 1 is exp(x) above it.
    far : float
        The largest x whose multiple of π/2 has no more bits than a part of π/2 leaves.
    """

    mantissa: int
    bias: int
    terms: int
    high: float
    saturated: float
    extreme: float
    root: int
    odd: int
    turns: int
    alone: float
    far: float


FORMATS = {
    "float": Format(
        *(23, 127, 7, float.fromhex("0x1.62e4p-1"), 10, 104), *(0x3F3504F3, 5, 5, 20, 2.0**10)
    ),
    "double": Format(
        *(52, 1023, 13, float.fromhex("0x1.62e42feep-1"), 22, 746),
        *(0x3FE6A09E667F3BCD, 11, 8, 40, 2.0**20),
    ),
}
FUNCTIONS = ("tanh", "exp", "sigmoid", "expm1", "log", "log1p", "sin", "cos")


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

    def expm1(self, x: Symbol) -> Symbol:
        """Return exp(x) - 1."""
        scale, p = self._parts(self._within(x, self._form.alone))
        return self._xp.where(x > self._form.alone, self.exp(x), scale * p + (scale - 1))

    def log(self, x: Symbol) -> Symbol:
        """Return log(x)."""
        form, xp, graph = self._form, self._xp, self._graph
        up, small = form.mantissa + 2, x < 2.0 ** (1 - form.bias)
        normal = xp.where(small, x * 2.0**up, x)
        n = graph.add("exponent", normal.place)
        n = xp.where(small, n - up, n)
        f = graph.add("mantissa", normal.place) - 1
        s = f / (2 + f)
        z, half = s * s, 0.5 * f * f
        series = self._series(z, [2 / (2 * k + 3) for k in range(form.odd)])
        low = s * (half + z * series) + n * float(LN_2 - Decimal(form.high))
        result = n * form.high - ((half - low) - f)
        result = xp.where(x > 0, result, xp.where(x == 0, -math.inf, math.nan))
        return xp.where(x == math.inf, x, result)

    def log1p(self, x: Symbol) -> Symbol:
        """Return log(1 + x), corrected by what 1 + x lost."""
        u, xp = 1 + x, self._xp
        found = xp.where(u == math.inf, u, self.log(u) * (x / (u - 1)))
        return xp.where(u == 1, x, found)

    def sin(self, x: Symbol) -> Symbol:
        """Return sin(x)."""
        sine, cosine, odd, half = self._turned(x)
        value = self._xp.where(odd, cosine, sine)
        return self._near("far_sin", x, self._xp.where(half, -value, value))

    def cos(self, x: Symbol) -> Symbol:
        """Return cos(x)."""
        sine, cosine, odd, half = self._turned(x)
        value = self._xp.where(odd, sine, cosine)
        turned = odd & ~half | half & ~odd
        return self._near("far_cos", x, self._xp.where(turned, -value, value))

    def _near(self, otherwise: str, x: Symbol, value: Symbol) -> Symbol:
        far = abs(x) > self._form.far
        return self._graph.add(otherwise, x.place, value.place, far.place)

    def _turned(self, x: Symbol) -> tuple[Symbol, Symbol, Symbol, Symbol]:
        """Return sin(r), cos(r) for x = n π/2 + r, and the last two bits of n."""
        form, graph = self._form, self._graph
        magic = 1.5 * 2**form.mantissa
        shifted = x * float(1 / PI_2) + magic
        n, r = shifted - magic, x
        for part in _parts_of(PI_2, 1 + form.mantissa - int(math.log2(form.far))):
            r = r - n * part
        z = r * r
        signs = [(-1) ** (k + 1) for k in range(form.turns)]
        of_sin = [sign / math.factorial(2 * k + 3) for k, sign in enumerate(signs)]
        of_cos = [-sign / math.factorial(2 * k + 4) for k, sign in enumerate(signs)]
        sine = r + r * z * self._series(z, of_sin)
        cosine = 1 - (0.5 * z - z * z * self._series(z, of_cos))
        bits = (graph.add(name, shifted.place) for name in ("first_bit", "second_bit"))
        return sine, cosine, *bits  # type: ignore[return-value]

    def _series(self, z: Symbol, terms: list[float]) -> Symbol:
        """Return the sum of the terms times the powers of z."""
        total = self._graph.lift(terms[-1])
        for term in reversed(terms[:-1]):
            total = total * z + term
        return total

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


def _parts_of(value: Fraction, bits: int) -> list[float]:
    """Return a number as a sum whose first parts have that many bits."""
    parts = []
    for _ in range(PARTS - 1):
        _, exponent = math.frexp(float(value))
        unit = Fraction(2) ** (exponent - bits)
        parts.append(value // unit * unit)
        value -= parts[-1]
    return [float(part) for part in (*parts, value)]


def traced(name: str, number: str) -> tuple[Graph, Symbol]:
    """Return the graph of a function of a type of number, whose only load is x, and its value."""
    graph = Graph()
    x = graph.add("load", "x")
    function: Callable[[Symbol], Symbol] = getattr(Functions(FORMATS[number], graph), name)
    return graph, function(x)
