"""Dual numbers: arrays with a tangent beside them, for derivatives in forward mode.

A `Dual` stands for a + ε·t with ε² = 0. `DualNamespace` is an array library of them over a real
one, with as much of the standard as cells and loops use, so that what is written against the
standard runs on dual numbers and so differentiates itself: forward passes, and backward passes too.

References
----------
.. [1] A. Griewank and A. Walther, "Evaluating derivatives", SIAM 2008, chapter 3.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import array_api_compat

from xpbptt._arrays import dual_rules
from xpbptt._arrays.types import AnyArray, Namespace, Tree


class Dual:
    """An array and its tangent.

    Parameters
    ----------
    value, tangent : array
        Two arrays of one shape, dtype and library.
    """

    __slots__ = ("tangent", "value")
    __array_ufunc__ = None  # NumPy's arrays leave their operators to this class

    def __init__(self, value: AnyArray, tangent: AnyArray) -> None:
        self.value, self.tangent = value, tangent

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of both."""
        return tuple(self.value.shape)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.value.shape)

    @property
    def dtype(self) -> Any:
        """The dtype of both."""
        return self.value.dtype

    @property
    def device(self) -> Any:
        """The device of both."""
        return array_api_compat.device(self.value)

    @property
    def T(self) -> "Dual":  # noqa: N802 - the standard's
        """The transpose of a matrix."""
        return Dual(self.value.T, self.tangent.T)

    def __getitem__(self, key: Any) -> "Dual":
        return Dual(self.value[key], self.tangent[key])

    def __setitem__(self, key: Any, other: Any) -> None:
        self.value[key] = value_of(other)
        self.tangent[key] = other.tangent if isinstance(other, Dual) else 0

    def __add__(self, other: Any) -> "Dual":
        if not isinstance(other, Dual):
            total = self.value + other
            return Dual(total, _like(self.tangent, total))
        return Dual(self.value + other.value, self.tangent + other.tangent)

    __radd__ = __add__

    def __neg__(self) -> "Dual":
        return Dual(-self.value, -self.tangent)

    def __pos__(self) -> "Dual":
        return self

    def __sub__(self, other: Any) -> "Dual":
        return self.__add__(-other)

    def __rsub__(self, other: Any) -> "Dual":
        return (-self).__add__(other)

    def __mul__(self, other: Any) -> "Dual":
        if not isinstance(other, Dual):
            return Dual(self.value * other, self.tangent * other)
        product = self.value * other.value
        return Dual(product, self.tangent * other.value + self.value * other.tangent)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> "Dual":
        if not isinstance(other, Dual):
            return Dual(self.value / other, self.tangent / other)
        quotient = self.value / other.value
        return Dual(quotient, (self.tangent - quotient * other.tangent) / other.value)

    def __rtruediv__(self, other: Any) -> "Dual":
        quotient = other / self.value
        return Dual(quotient, -quotient * self.tangent / self.value)

    def __pow__(self, power: Any) -> "Dual":
        if isinstance(power, Dual):
            message = "a power that is not a number cannot be differentiated here; use `xp.exp`"
            raise NotImplementedError(message)
        if power == 0:
            return Dual(self.value**0, self.tangent * 0)
        return Dual(self.value**power, power * self.value ** (power - 1) * self.tangent)

    def __abs__(self) -> "Dual":
        xp = array_api_compat.array_namespace(self.value)
        return Dual(xp.abs(self.value), xp.sign(self.value) * self.tangent)

    def __matmul__(self, other: Any) -> "Dual":
        if not isinstance(other, Dual):
            return Dual(self.value @ other, self.tangent @ other)
        product = self.value @ other.value
        return Dual(product, self.tangent @ other.value + self.value @ other.tangent)

    def __rmatmul__(self, other: Any) -> "Dual":
        return Dual(other @ self.value, other @ self.tangent)

    def __lt__(self, other: Any) -> Any:
        return self.value < value_of(other)

    def __le__(self, other: Any) -> Any:
        return self.value <= value_of(other)

    def __gt__(self, other: Any) -> Any:
        return self.value > value_of(other)

    def __ge__(self, other: Any) -> Any:
        return self.value >= value_of(other)

    def __eq__(self, other: object) -> Any:
        return self.value == value_of(other)

    def __ne__(self, other: object) -> Any:
        return self.value != value_of(other)

    __hash__ = None  # type: ignore[assignment]  # as of arrays


def value_of(array: Any) -> Any:
    """Return the value of a dual number; anything else as it is."""
    return array.value if isinstance(array, Dual) else array


def _like(tangent: AnyArray, total: AnyArray) -> AnyArray:
    """Return the tangent in the shape that adding a constant has made."""
    return tangent if tangent.shape == total.shape else tangent + 0 * total


def writable(array: Any) -> bool:
    """Tell whether an array can be written to in place."""
    return bool(array_api_compat.is_writeable_array(value_of(array)))


@lru_cache(maxsize=32)
def namespace(xp: Namespace) -> "DualNamespace":
    """Return the namespace of dual numbers over a real namespace, the same when asked again."""
    return DualNamespace(xp)


class DualNamespace:
    """The functions of the standard that cells and loops use, on dual numbers.

    What is asked of arrays without a tangent is left to the real namespace; so are dtypes and
    constants.

    Parameters
    ----------
    xp : namespace
        The real one.
    """

    def __init__(self, xp: Namespace) -> None:
        self.xp = xp
        self.__name__ = f"dual numbers over {xp.__name__}"

    def __getattr__(self, name: str) -> Any:
        real = getattr(self.xp, name)
        if not callable(real) or isinstance(real, type) or name in dual_rules.PLAIN:
            return real
        if name in dual_rules.MADE:
            return partial(_made, self.xp, real)
        return partial(_called, self.xp, name, real)


def _made(xp: Namespace, real: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Make an array of floating-point numbers with a tangent of zeros; one of others without."""
    array = real(*arguments, **options)
    if not xp.isdtype(array.dtype, "real floating"):
        return array
    return Dual(array, xp.zeros_like(array))


def _called(
    xp: Namespace, name: str, real: Callable[..., Any], *arguments: Any, **options: Any
) -> Any:
    """Call a function, by its rule where an argument has a tangent."""
    if not any(isinstance(leaf, Dual) for leaf in _flat(arguments)):
        return real(*arguments, **options)
    if name in dual_rules.COMPARED:
        return real(*map(value_of, arguments), **options)
    if name in dual_rules.LIKE:
        return _made(xp, real, *map(value_of, arguments), **options)
    if name in dual_rules.OPERATORS:
        return dual_rules.OPERATORS[name](*arguments)
    return Dual(*_ruled(xp, name, real, arguments, options))


def _ruled(
    xp: Namespace, name: str, real: Callable[..., Any], arguments: Any, options: dict[str, Any]
) -> tuple[AnyArray, AnyArray]:
    """Return the value and the tangent of a function."""
    values, tangents = (_each(xp, part, arguments) for part in ("value", "tangent"))
    if name in dual_rules.LINEAR:
        return real(*values, **options), real(*tangents, **options)
    if name in dual_rules.ELEMENTWISE:
        result = real(*values)
        return result, dual_rules.ELEMENTWISE[name](values[0], result, xp) * tangents[0]
    rule = dual_rules.OTHERS.get(name)
    if rule is None:
        message = f"`xp.{name}` cannot be differentiated in forward mode; write it in other terms"
        raise NotImplementedError(message)
    return rule(xp, values, tangents, **options)


def _flat(arguments: Any) -> Any:
    for each in arguments:
        if isinstance(each, (tuple, list)):
            yield from _flat(each)
        else:
            yield each


def _each(xp: Namespace, part: str, arguments: Any) -> list[Any]:
    """Return values or tangents; the tangent of a constant array is zero."""
    found = []
    for each in arguments:
        if isinstance(each, (tuple, list)) and any(isinstance(one, Dual) for one in _flat(each)):
            found.append(_each(xp, part, each))
        elif isinstance(each, Dual):
            found.append(getattr(each, part))
        elif part == "value" or not hasattr(each, "dtype"):
            found.append(each)
        else:
            found.append(xp.zeros_like(each) if xp.isdtype(each.dtype, "real floating") else each)
    return found


def lifted(value: AnyArray, tangent: AnyArray | None, *, xp: Namespace) -> Dual:
    """Return a dual number; without a tangent it is a constant."""
    return Dual(value, xp.zeros_like(value) if tangent is None else tangent)


def separated(tree: Tree, map_leaves: Callable[..., Tree], *, xp: Namespace) -> tuple[Tree, Tree]:
    """Return the values of a tree and its tangents; of an array without one, zeros."""

    def tangent(leaf: Any) -> Any:
        return leaf.tangent if isinstance(leaf, Dual) else xp.zeros_like(leaf)

    return map_leaves(value_of, tree), map_leaves(tangent, tree)
