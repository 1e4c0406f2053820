"""The derivative of each function of the standard that dual numbers know, by its name."""

import math
import operator
from collections.abc import Callable
from typing import Any

# Left to the real namespace: what is no function of arrays, or makes arrays without a tangent.
PLAIN = {"arange", "can_cast", "finfo", "iinfo", "isdtype", "result_type"}
MADE = {"empty", "eye", "full", "ones", "zeros"}
LIKE = {"empty_like", "full_like", "ones_like", "zeros_like"}

COMPARED = {
    *("all", "any", "equal", "greater", "greater_equal", "isfinite", "isinf", "isnan", "less"),
    *("less_equal", "not_equal", "logical_and", "logical_not", "logical_or", "logical_xor"),
}

# Of these the tangent of the result is the same function of the tangents.
LINEAR = {
    *("asarray", "astype", "broadcast_arrays", "broadcast_to", "concat", "cumulative_sum", "diff"),
    *("expand_dims", "flip", "matrix_transpose", "mean", "moveaxis", "negative", "permute_dims"),
    *("positive", "repeat", "reshape", "roll", "squeeze", "stack", "sum", "tile", "tril", "triu"),
}

OPERATORS: dict[str, Callable[..., Any]] = {
    "abs": operator.abs,
    "add": operator.add,
    "divide": operator.truediv,
    "matmul": operator.matmul,
    "multiply": operator.mul,
    "pow": operator.pow,
    "subtract": operator.sub,
}

# The derivative of f at x, given x, f(x) and the namespace.
ELEMENTWISE: dict[str, Callable[[Any, Any, Any], Any]] = {
    "atan": lambda x, _, __: 1 / (1 + x * x),
    "ceil": lambda x, _, xp: xp.zeros_like(x),
    "cos": lambda x, _, xp: -xp.sin(x),
    "cosh": lambda x, _, xp: xp.sinh(x),
    "exp": lambda _, y, __: y,
    "expm1": lambda _, y, __: y + 1,
    "floor": lambda x, _, xp: xp.zeros_like(x),
    "log": lambda x, _, __: 1 / x,
    "log10": lambda x, _, __: 1 / (x * math.log(10)),
    "log1p": lambda x, _, __: 1 / (1 + x),
    "log2": lambda x, _, __: 1 / (x * math.log(2)),
    "reciprocal": lambda _, y, __: -y * y,
    "round": lambda x, _, xp: xp.zeros_like(x),
    "sign": lambda x, _, xp: xp.zeros_like(x),
    "sin": lambda x, _, xp: xp.cos(x),
    "sinh": lambda x, _, xp: xp.cosh(x),
    "sqrt": lambda _, y, __: 0.5 / y,
    "square": lambda x, _, __: 2 * x,
    "tan": lambda _, y, __: 1 + y * y,
    "tanh": lambda _, y, __: 1 - y * y,
    "trunc": lambda x, _, xp: xp.zeros_like(x),
}

Pair = tuple[Any, Any]


def _where(xp: Any, values: list[Any], tangents: list[Any]) -> Pair:
    condition, *_ = values
    numbers = [part if hasattr(part, "dtype") else 0.0 for part in tangents[1:]]
    return xp.where(*values), xp.where(condition, *numbers)


def _larger(xp: Any, values: list[Any], tangents: list[Any]) -> Pair:
    """Of two equal numbers the first one is taken."""
    first, second = _tangents(values, tangents)
    return xp.maximum(*values), xp.where(values[0] >= values[1], first, second)


def _smaller(xp: Any, values: list[Any], tangents: list[Any]) -> Pair:
    first, second = _tangents(values, tangents)
    return xp.minimum(*values), xp.where(values[0] <= values[1], first, second)


def _tangents(values: list[Any], tangents: list[Any]) -> list[Any]:
    """Return the tangents; those of numbers are zero."""
    return [
        tangent if hasattr(value, "dtype") else 0.0
        for value, tangent in zip(values, tangents, strict=True)
    ]


def _clip(xp: Any, values: list[Any], tangents: list[Any], **bounds: Any) -> Pair:
    """Outside the bounds the derivative is zero."""
    low, high = ([*values[1:], None, None][k] for k in (0, 1))
    low, high = bounds.get("min", low), bounds.get("max", high)
    x, inside = values[0], xp.ones_like(values[0], dtype=xp.bool)
    if low is not None:
        inside = inside & (x >= low)
    if high is not None:
        inside = inside & (x <= high)
    return xp.clip(x, low, high), xp.where(inside, tangents[0], xp.zeros_like(x))


def _extreme(name: str) -> Callable[..., Pair]:
    def rule(
        xp: Any, values: list[Any], tangents: list[Any], *, axis: Any = None, keepdims: bool = False
    ) -> Pair:
        """Equal extremes share the derivative."""
        x, function = values[0], getattr(xp, name)
        top = function(x, axis=axis, keepdims=True)
        taken = xp.astype(x == top, x.dtype)
        share = xp.sum(taken * tangents[0], axis=axis, keepdims=True) / xp.sum(
            taken, axis=axis, keepdims=True
        )
        if not keepdims:
            axes = tuple(range(x.ndim)) if axis is None else axis
            top, share = xp.squeeze(top, axis=axes), xp.squeeze(share, axis=axes)
        return top, share

    return rule


def _product(name: str) -> Callable[..., Pair]:
    def rule(xp: Any, values: list[Any], tangents: list[Any], **options: Any) -> Pair:
        function, (a, b), (da, db) = getattr(xp, name), values, tangents
        return function(a, b, **options), function(da, b, **options) + function(a, db, **options)

    return rule


OTHERS: dict[str, Callable[..., Pair]] = {
    "clip": _clip,
    "max": _extreme("max"),
    "maximum": _larger,
    "min": _extreme("min"),
    "minimum": _smaller,
    "tensordot": _product("tensordot"),
    "vecdot": _product("vecdot"),
    "where": _where,
}
