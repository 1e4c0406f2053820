"""A cell's maths as a list of expressions: the cell's own functions, run once on symbols.

The functions of a cell are ordinary Python that works on whatever it is given. Given symbols, the
operators and the few functions a cell may use write down what is to be computed; an expression that
comes up twice is written down once.
"""

import math
from collections.abc import Callable
from functools import partial, reduce
from operator import mul
from typing import Any, NamedTuple

UNARY = {"abs", "cos", "exp", "expm1", "floor", "log", "log1p", "sin", "sqrt", "tanh"}
OTHERS = {"clip", "maximum", "minimum", "ones_like", "pow", "reciprocal", "sign", "square", "where"}
SUMS = {"sum", "max", "min"}  # over the hidden units
FUNCTIONS = " ".join(sorted(UNARY | OTHERS | SUMS | {"mean", "zeros_like"}))
LAST = (-1, 1, (-1,), (1,))  # axes of the hidden units in an array (B, H)
WHOLE = 8  # the largest power that is a product


class Untraceable(Exception):  # noqa: N818 - not an error: the cell runs eagerly
    """A function of a cell did something that cannot be expressed in symbols."""


class Node(NamedTuple):
    """One expression: an operation on earlier ones, a constant or a number to load."""

    operation: str
    operands: tuple[Any, ...]


class Graph:
    """The expressions written down so far, each once.

    Attributes
    ----------
    nodes : list of Node
        The expressions.
    narrow : set of int
        The places of those of shape (B,), made by a sum that does not keep its axis.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.narrow: set[int] = set()
        self._places: dict[Node, int] = {}

    def add(self, operation: str, *operands: Any) -> "Symbol":
        """Write an expression down and return the symbol of its value."""
        node = Node(operation, operands)
        if node not in self._places:
            self._places[node] = len(self.nodes)
            self.nodes.append(node)
        return Symbol(self, self._places[node])

    def lift(self, value: Any) -> "Symbol":
        """Return the symbol of a value: itself, or of a constant."""
        if isinstance(value, Symbol):
            return value
        try:
            number = float(value)
        except (TypeError, ValueError) as error:
            message = f"it uses a {type(value).__name__} instead of a number or an argument"
            raise Untraceable(message) from error
        return self.add("constant", number, math.copysign(1, number))  # 0.0 and -0.0 are equal

    def call(self, operation: str, *values: Any) -> "Symbol":
        """Write an operation on numbers down."""
        places = [self.number(value).place for value in values]
        result = self.add(operation, *places)
        if self.narrow & {*places}:
            self.narrow.add(result.place)
        return result

    def number(self, value: Any) -> "Symbol":
        """Return the symbol of a number; of a truth value, 1 or 0."""
        symbol = self.lift(value)
        if self.is_truth_value(symbol):
            return self.add("where", symbol.place, self.lift(1).place, self.lift(0).place)
        return symbol

    def is_truth_value(self, value: Any) -> bool:
        """Tell whether a value is a truth value, as the result of a comparison."""
        if isinstance(value, Symbol):
            return self.nodes[value.place].operation in LOGICAL
        return isinstance(value, bool)


COMPARISONS = {"less", "less_equal", "greater", "greater_equal", "equal", "not_equal"}
BITS = {"first_bit", "second_bit"}  # of a whole number, in the functions of a target
LOGICAL = COMPARISONS | BITS | {"flag", "not", "and", "or"}


def _binary(operation: str, *, swapped: bool = False) -> Callable[["Symbol", Any], "Symbol"]:
    def method(self: "Symbol", other: Any) -> "Symbol":
        if operation not in COMPARISONS and all(map(self.graph.is_truth_value, (self, other))):
            message = "it computes with two truth values; use `&`, `|` or `xp.where`"
            raise Untraceable(message)  # in NumPy True + True is True
        return self.graph.call(operation, *((other, self) if swapped else (self, other)))

    return method


def _logical(operation: str) -> Callable[..., "Symbol"]:
    def method(self: "Symbol", *other: Any) -> "Symbol":
        values = [self, *other]
        if not all(isinstance(v, Symbol) and self.graph.is_truth_value(v) for v in values):
            message = "it uses `&`, `|` or `~` on a value that is not a comparison"
            raise Untraceable(message)
        return self.graph.add(operation, *(value.place for value in values))

    return method


def _refusal(what: str) -> Callable[..., Any]:
    def method(self: "Symbol", *_: Any) -> Any:  # noqa: ARG001 - every operator's signature
        raise Untraceable(what)

    return method


class Symbol:
    """The value of an expression, to be used like an array."""

    __slots__ = ("graph", "place")
    __array_ufunc__ = None  # NumPy's numbers leave their operators to the symbol

    def __init__(self, graph: Graph, place: int) -> None:
        self.graph = graph
        self.place = place

    __add__, __radd__ = _binary("add"), _binary("add", swapped=True)
    __sub__, __rsub__ = _binary("subtract"), _binary("subtract", swapped=True)
    __mul__, __rmul__ = _binary("multiply"), _binary("multiply", swapped=True)
    __truediv__, __rtruediv__ = _binary("divide"), _binary("divide", swapped=True)
    __lt__, __le__ = _binary("less"), _binary("less_equal")
    __gt__, __ge__ = _binary("greater"), _binary("greater_equal")
    __eq__, __ne__ = _binary("equal"), _binary("not_equal")  # type: ignore[assignment]
    __hash__ = object.__hash__

    __and__ = __rand__ = _logical("and")
    __or__ = __ror__ = _logical("or")
    __invert__ = _logical("not")

    def __neg__(self) -> "Symbol":
        """Return its negative."""
        return self.graph.call("negative", self)

    def __pos__(self) -> "Symbol":
        """Return itself."""
        return self

    def __abs__(self) -> "Symbol":
        """Return its magnitude."""
        return self.graph.call("abs", self)

    def __pow__(self, power: Any) -> "Symbol":
        """Return a power: small whole ones and their halves as products."""
        try:
            exponent = math.nan if isinstance(power, Symbol) else float(power)
        except (TypeError, ValueError):
            exponent = math.nan  # what it is instead of a number is said below
        if not abs(exponent) <= WHOLE or 2 * exponent % 1:
            return self.graph.call("pow", self, power)
        factors = [self] * int(abs(exponent))
        if exponent % 1:
            factors.append(self.graph.call("sqrt", self))
        result = reduce(mul, factors) if factors else self.graph.lift(1)
        return result if exponent >= 0 else 1 / result

    def __rpow__(self, base: Any) -> "Symbol":
        """Return a power of a number."""
        return self.graph.call("pow", base, self)

    __bool__ = _refusal("it branches on a value; use `xp.where`")
    __float__ = __int__ = __index__ = _refusal("it reads a value as a Python number")

    def __getitem__(self, index: Any) -> "Symbol":
        """Return itself with another axis of length 1; refuse to take it apart."""
        parts = index if isinstance(index, tuple) else (index,)
        if not all(part is None or part is ... or part == slice(None) for part in parts):
            message = "it takes an array apart"
            raise Untraceable(message)
        return self.graph.add("wide", self.place) if self.place in self.graph.narrow else self

    __len__ = __iter__ = _refusal("it takes an array apart")
    __matmul__ = __rmatmul__ = _refusal("it has a matrix product")

    def __getattr__(self, name: str) -> Any:
        """Refuse: a symbol has no shape, dtype or methods."""
        message = f"it uses the attribute `{name}` of an array"
        raise Untraceable(message)


class Tracing:
    """The namespace that a cell is given along with symbols."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def __getattr__(self, name: str) -> Any:
        """Return a function of one number as in the standard; refuse one that no kernel has."""
        if name in UNARY:
            return partial(self.graph.call, name)
        message = f"it uses `xp.{name}`; what can be compiled is {FUNCTIONS} and operators"
        raise Untraceable(message)

    def traced_sigmoid(self, x: Any) -> Symbol:
        """Write down what `xpbptt.cells.sigmoid` was called with."""
        return self.graph.call("sigmoid", x)

    def maximum(self, x1: Any, x2: Any) -> Symbol:
        """As in the standard."""
        return self.graph.call("maximum", x1, x2)

    def minimum(self, x1: Any, x2: Any) -> Symbol:
        """As in the standard."""
        return self.graph.call("minimum", x1, x2)

    def clip(self, x: Any, min: Any = None, max: Any = None) -> Symbol:  # noqa: A002 - the standard's
        """As in the standard."""
        if min is not None:
            x = self.maximum(x, min)
        return self.graph.number(x) if max is None else self.minimum(x, max)

    def pow(self, x1: Any, x2: Any) -> Symbol:
        """As in the standard."""
        power: Symbol = self.graph.number(x1) ** x2
        return power

    def square(self, x: Any) -> Symbol:
        """As in the standard."""
        return self.graph.call("multiply", x, x)

    def reciprocal(self, x: Any) -> Symbol:
        """As in the standard."""
        return self.graph.call("divide", 1, x)

    def sign(self, x: Any) -> Symbol:
        """As in the standard."""
        number = self.graph.number(x)
        of_rest = self.where(number < 0, -1, self.where(number > 0, 1, number))  # NaN stays
        return self.where(number == 0, 0, of_rest)

    def where(self, condition: Any, x1: Any, x2: Any) -> Symbol:
        """As in the standard."""
        chosen = self.graph.lift(condition)
        if not self.graph.is_truth_value(chosen):
            message = "it calls `xp.where` with a condition that is not a comparison"
            raise Untraceable(message)
        first, second = (self.graph.number(value) for value in (x1, x2))
        if first.place == second.place:  # so that a constant of a masked step stays one
            return first
        return self.graph.add("where", chosen.place, first.place, second.place)

    def sum(self, x: Any, axis: Any = None, keepdims: bool = False) -> Symbol:  # noqa: FBT001, FBT002 - the standard's
        """As in the standard, over the hidden units."""
        return self._over_units("sum", x, axis, keepdims)

    def max(self, x: Any, axis: Any = None, keepdims: bool = False) -> Symbol:  # noqa: FBT001, FBT002 - the standard's
        """As in the standard, over the hidden units."""
        return self._over_units("max", x, axis, keepdims)

    def min(self, x: Any, axis: Any = None, keepdims: bool = False) -> Symbol:  # noqa: FBT001, FBT002 - the standard's
        """As in the standard, over the hidden units."""
        return self._over_units("min", x, axis, keepdims)

    def mean(self, x: Any, axis: Any = None, keepdims: bool = False) -> Symbol:  # noqa: FBT001, FBT002 - the standard's
        """As in the standard, over the hidden units."""
        return self.sum(x, axis, keepdims) / self.graph.add("units")

    def _over_units(self, operation: str, x: Any, axis: Any, keepdims: Any) -> Symbol:
        number = self.graph.number(x)
        if axis not in LAST or number.place in self.graph.narrow:
            message = (
                f"it calls `xp.{operation}` over other axes than the last one, that of the units"
            )
            raise Untraceable(message)
        result = self.graph.add(operation, number.place)
        if not keepdims:
            # Another node than with the axis: what it is used for differs.
            result = self.graph.add("narrow", result.place)
            self.graph.narrow.add(result.place)
        return result

    def zeros_like(self, x: Any) -> Symbol:  # noqa: ARG002 - the standard's
        """As in the standard."""
        return self.graph.lift(0)

    def ones_like(self, x: Any) -> Symbol:  # noqa: ARG002 - the standard's
        """As in the standard."""
        return self.graph.lift(1)
