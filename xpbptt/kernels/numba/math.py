"""tanh, exp and sigmoid for Numba, written so that LLVM vectorises a loop over them.

All come from exp(y) = 2ⁿ exp(r) with y = n ln 2 + r and |r| ≤ ln 2 / 2, where the Taylor series of
exp(r) - 1 = r + r²/2! + r³/3! + … is short, and tanh(x) = (exp(2x) - 1) / (exp(2x) + 1). Against
exact values the error is at most 2.9 units in the last place, also near 0 and where results are
subnormal. sigmoid takes exp(-|x|), which does not overflow and keeps the precision of small values.
"""

import math
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple

import numba
from llvmlite import ir
from numba.extending import intrinsic

# A product and a sum may become one instruction, and the sign of zero is free; nothing else is
# relaxed, so that NaN and infinities pass. With Python's error model a division could raise, and a
# loop with one in it would not be vectorised.
OPTIONS: dict[str, Any] = {"fastmath": {"contract", "nsz"}, "error_model": "numpy"}

LN_2 = Decimal("0.693147180559945309417232121458176568")
LIFT = 64  # 2 to this power times exp(-x) is not subnormal for large x, and neither is its 2ⁿ


class Format(NamedTuple):
    """A floating-point format, and what the functions need of it.

    Attributes
    ----------
    number, type : object
        Its names for Numba and for LLVM.
    bits, mantissa, bias : int
        Its width, the bits of its fraction, and the exponent of 1.
    terms : int
        The last term of the series, such that the next one is below half a unit in the last place.
    high : float
        The first bits of ln 2, so few that the products with n are exact.
    saturated : float
        The least x such that tanh(x) is 1.
    extreme : float
        Such that exp(x) is infinite above it, and exp(-x) is 0.
    """

    number: Any
    type: Any
    bits: int
    mantissa: int
    bias: int
    terms: int
    high: float
    saturated: float
    extreme: float

    @classmethod
    def of(cls, dtype: str) -> "Format":
        """Return the format by its name."""
        return {
            "float32": cls(
                numba.float32, ir.FloatType(), 32, 23, 127, 7, float.fromhex("0x1.62e4p-1"), 10, 104
            ),
            "float64": cls(
                numba.float64,
                ir.DoubleType(),
                64,
                52,
                1023,
                13,
                float.fromhex("0x1.62e42feep-1"),
                22,
                746,
            ),
        }[dtype]


SOURCE = """
def parts(y, lift):
    magic = number({magic!r}) + lift  # the first result is 2ⁿ times 2 to this power
    shifted = y * number({ln_2_inverse!r}) + magic
    n = shifted - magic
    r = y - n * number({high!r})
    r = r - n * number({low!r})
    p = {series}
    return power_of_two(shifted), p * r * r + r

def tanh(x):
    x = number({saturated!r}) if x > number({saturated!r}) else x
    x = number(-{saturated!r}) if x < number(-{saturated!r}) else x
    scale, p = parts(x + x, number(0))
    less_one = scale * p + (scale - number(1))
    return less_one / (less_one + number(2))

def exp(x):
    x = number({extreme!r}) if x > number({extreme!r}) else x
    x = number(-{extreme!r}) if x < number(-{extreme!r}) else x
    scale, p = parts(x * number(0.5), number(0))
    root = scale * p + scale
    return root * root

def sigmoid(x):
    y = -abs(x)
    y = number(-{extreme!r}) if y < number(-{extreme!r}) else y
    scale, p = parts(y, number({lift!r}))
    e = (scale * p + scale) * number({lowered!r})
    above = e if x < number(0) else number(1)
    return above / (number(1) + e)
"""


@cache
def functions(dtype: str) -> dict[str, Callable[..., Any]]:
    """Return tanh, exp and sigmoid for a dtype, "float32" or "float64"."""
    form = Format.of(dtype)
    series = f"number({1 / math.factorial(form.terms)!r})"
    for k in range(form.terms - 1, 1, -1):
        series = f"({series} * r + number({1 / math.factorial(k)!r}))"
    names: dict[str, Any] = {"number": form.number, "power_of_two": _power_of_two(form)}
    source = SOURCE.format(
        ln_2_inverse=1 / math.log(2),
        magic=1.5 * 2**form.mantissa,  # added to a number, it leaves no bits for a fraction
        high=form.high,
        low=float(LN_2 - Decimal(form.high)),
        series=series,
        lift=float(LIFT),
        lowered=2.0**-LIFT,
        saturated=float(form.saturated),
        extreme=float(form.extreme),
    )
    exec(source, names)  # noqa: S102 - the source is above
    names["parts"] = numba.njit(inline="always", **OPTIONS)(names["parts"])
    return {
        name: numba.njit(inline="always", **OPTIONS)(names[name])
        for name in ("tanh", "exp", "sigmoid")
    }


def _power_of_two(form: Format) -> Any:
    """Return 2ⁿ by its bits; n is in the last bits of the sum with the magic number."""

    @intrinsic  # type: ignore[untyped-decorator]
    def power_of_two(typing_context: Any, shifted: Any) -> Any:  # noqa: ARG001 - Numba's signature
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:  # noqa: ARG001
            whole = ir.IntType(form.bits)
            bits = builder.shl(builder.bitcast(values[0], whole), ir.Constant(whole, form.mantissa))
            bits = builder.add(bits, ir.Constant(whole, form.bias << form.mantissa))
            return builder.bitcast(bits, form.type)

        return form.number(form.number), generate

    return power_of_two


@intrinsic  # type: ignore[untyped-decorator]
def select(typing_context: Any, condition: Any, first: Any, second: Any) -> Any:  # noqa: ARG001
    """Return `first` if the condition holds, else `second`, without a branch."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:  # noqa: ARG001
        return builder.select(*values)

    return first(condition, first, second), generate
