"""Activation functions that the standard does not have."""

from typing import Any


def sigmoid(x: Any, *, xp: Any) -> Any:
    """Return 1 / (1 + exp(-x)), small values included to a few units in the last place.

    It is computed as ``exp(min(x, 0)) / (1 + exp(-|x|))``, in which nothing overflows and no small
    value is made from a difference. In a compiled cell it is a single operation.

    Parameters
    ----------
    x : array of any shape
        Floating-point. Complex numbers are for the complex step: the result is analytic on either
        side of a real part of zero.
    xp : namespace
        The array's namespace.

    Returns
    -------
    array of the shape and dtype of `x`
        The values, from 0 to 1 where `x` is real.
    """
    traced = getattr(xp, "traced_sigmoid", None)  # only the namespace of symbols has it
    if traced is not None:
        return traced(x)
    zero = xp.zeros_like(x)
    if _is_complex(x.dtype, xp=xp):
        negative = xp.real(x) < 0
        below, minus = xp.where(negative, x, zero), xp.where(negative, x, -x)
    else:
        below, minus = xp.minimum(x, zero), xp.minimum(x, -x)
    return xp.exp(below) / (1 + xp.exp(minus))


def log_sigmoid(x: Any, *, xp: Any) -> Any:
    """Return log(1 / (1 + exp(-x))), which does not overflow and is x where that is very negative.

    Parameters
    ----------
    x : array of any shape
        Floating-point.
    xp : namespace
        The array's namespace.

    Returns
    -------
    array of the shape and dtype of `x`
        The values, at most 0.
    """
    if getattr(xp, "traced_sigmoid", None) is None and _is_complex(x.dtype, xp=xp):
        negative = xp.real(x) < 0  # analytic on either side, for the complex step
        below, minus = xp.where(negative, x, xp.zeros_like(x)), xp.where(negative, x, -x)
    else:
        below, minus = xp.minimum(x, xp.zeros_like(x)), -xp.abs(x)
    return below - xp.log1p(xp.exp(minus))


def _is_complex(dtype: Any, *, xp: Any) -> bool:
    key = (type(dtype), dtype)  # dtypes of two libraries must not be compared
    if key not in _COMPLEX:
        _COMPLEX[key] = bool(xp.isdtype(dtype, "complex floating"))
    return _COMPLEX[key]


_COMPLEX: dict[tuple[type, Any], bool] = {}  # asking the library takes a while
