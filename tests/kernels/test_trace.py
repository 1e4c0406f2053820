"""What a cell's maths is written down as: what NumPy computes, or a refusal that says why."""

import math
import operator
from itertools import product

import numpy as np
import pytest

from xpbptt.cells import LSTM, sigmoid
from xpbptt.kernels import programs
from xpbptt.kernels.symbols import SUMS, Graph, Tracing, Untraceable

MEANINGS = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "negative": np.negative,
    "less": np.less,
    "less_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "equal": np.equal,
    "not_equal": np.not_equal,
    "and": np.logical_and,
    "or": np.logical_or,
    "not": np.logical_not,
    "abs": np.abs,
    **{name: getattr(np, name) for name in ("cos", "exp", "expm1", "floor", "log", "log1p", "sin")},
    "pow": np.power,
    **{name: lambda x, of=name: getattr(np, of)(x, axis=-1, keepdims=True) for name in SUMS},
    **dict.fromkeys(["narrow", "wide"], np.array),
    "maximum": np.maximum,
    "minimum": np.minimum,
    "sigmoid": lambda x: sigmoid(x, xp=np),
    "sqrt": np.sqrt,
    "tanh": np.tanh,
    "where": np.where,
}

SPECIAL = [-math.inf, -2.5, -1.0, -0.0, 0.0, 0.5, 1.0, 2.0, math.inf, math.nan]
A, B = np.array(list(product(SPECIAL, SPECIAL))).T
RANDOM = np.random.default_rng(0).standard_normal((2, 20))
ARRAYS = {"a": np.append(A, RANDOM[0]), "b": np.append(B, RANDOM[1])}
ARRAYS["m"] = np.arange(ARRAYS["a"].size) % 2 == 0


class Traced:
    """A graph with the symbols of two numbers and a truth value."""

    def __init__(self):
        self.graph = Graph()
        self.xp = Tracing(self.graph)
        self.symbols = [self.graph.add("flag" if n == "m" else "load", n) for n in ARRAYS]

    def __call__(self, function):
        return self.graph.lift(function(*self.symbols, self.xp))

    def value(self, symbol):
        """Compute every expression in turn, and return that of the symbol."""
        values = []
        for operation, operands in self.graph.nodes:
            if operation in {"load", "flag"}:
                values.append(ARRAYS[operands[0]])
            elif operation == "units":
                values.append(np.array([ARRAYS["a"].size]))
            elif operation == "constant":
                values.append(np.full(ARRAYS["a"].shape, operands[0]))
            else:
                values.append(MEANINGS[operation](*(values[place] for place in operands)))
        return values[symbol.place]


@pytest.fixture
def traced():
    return Traced()


def assert_same(traced, function):
    with np.errstate(all="ignore"):
        expected = function(*ARRAYS.values(), np)
        found = traced.value(traced(function))
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=0, strict=True)


NUMBERS = [2, 0.5, np.float64(2), np.float32(0.5), np.int64(2), math.inf]
ARITHMETIC = [operator.add, operator.sub, operator.mul, operator.truediv]
COMPARISONS = [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]


@pytest.mark.parametrize("operation", ARITHMETIC + COMPARISONS)
def test_operators(traced, operation):
    """Of two arrays, and of an array and a number on either side."""
    assert_same(traced, lambda a, b, m, xp: operation(a, b))
    for number in NUMBERS:
        assert_same(traced, lambda a, b, m, xp, number=number: operation(a, number))
        assert_same(traced, lambda a, b, m, xp, number=number: operation(number, a))


@pytest.mark.parametrize("operation", ARITHMETIC)
def test_a_truth_value_among_numbers_is_one_or_zero(traced, operation):
    assert_same(traced, lambda a, b, m, xp: operation(m, a))
    assert_same(traced, lambda a, b, m, xp: operation(a, b > 0))
    assert_same(traced, lambda a, b, m, xp: operation(True, a))  # noqa: FBT003 - an operand


def test_powers(traced):
    for power in (*range(-9, 10), 2.0, np.int64(3), 0.3, 12.0):
        assert_same(traced, lambda a, b, m, xp, power=power: a**power)
    for power in (0.5, -2.5):  # a product with the root, which of -inf is NaN
        assert_same(traced, lambda a, b, m, xp, power=power: abs(a) ** power)


EXPRESSIONS = {
    "negative": lambda a, b, m, xp: -a,
    "positive": lambda a, b, m, xp: +a,
    "abs": lambda a, b, m, xp: abs(a),
    "not": lambda a, b, m, xp: ~m,
    "and": lambda a, b, m, xp: (a < b) & m,
    "or": lambda a, b, m, xp: m | (a < b),
    "all three": lambda a, b, m, xp: ~((a > 0) & ~(b >= 1)) | (a != a) & m,  # noqa: PLR0124
    **{
        f"xp.{name}": lambda a, b, m, xp, name=name: getattr(xp, name)(a)
        for name in ("abs", "cos", "exp", "expm1", "floor", "log", "log1p", "sin", "sqrt", "tanh")
    },
    **{
        f"xp.{name}": lambda a, b, m, xp, name=name: getattr(xp, name)(a)
        for name in ("reciprocal", "sign", "square")
    },
    "xp.clip": lambda a, b, m, xp: (
        xp.clip(a, -0.5, b) + xp.clip(a, None, 1) + xp.clip(b, 0.5, None)
    ),
    "a power of an array": lambda a, b, m, xp: a**b + xp.pow(a, b) + xp.pow(a, 2) + 2**b,
    "xp.maximum": lambda a, b, m, xp: xp.maximum(a, b),
    "xp.maximum, a number": lambda a, b, m, xp: xp.maximum(a, 0.5),
    "xp.minimum": lambda a, b, m, xp: xp.minimum(a, b),
    "xp.minimum, a number": lambda a, b, m, xp: xp.minimum(0.5, a),
    "xp.where": lambda a, b, m, xp: xp.where(a < b, a, b),
    "xp.where, a flag and numbers": lambda a, b, m, xp: xp.where(m, 1, -math.inf) + b,
    "xp.where, a truth value": lambda a, b, m, xp: xp.where(m, a < b, a),
    "xp.where, either of two": lambda a, b, m, xp: xp.where(m | (a < b), a, b),
    "xp.zeros_like": lambda a, b, m, xp: xp.zeros_like(a) + b,
    "xp.ones_like": lambda a, b, m, xp: xp.ones_like(a) - b,
    **{
        f"xp.{name}": lambda a, b, m, xp, name=name: (
            a * getattr(xp, name)(xp.where(abs(a) < 3, b + 2, a - a), axis=-1, keepdims=True)
        )
        for name in ("sum", "mean", "max", "min")
    },
    "a sum that is given its axis again": lambda a, b, m, xp: a * xp.max(b, axis=-1)[..., None],
    "in place": lambda a, b, m, xp: operator.iadd(a * 1, b),
    "sigmoid": lambda a, b, m, xp: sigmoid(a - b, xp=xp),
}


@pytest.mark.parametrize("function", EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_expressions(traced, function):
    assert_same(traced, function)


def test_nothing_is_left_out():
    """Every operation that can come up does come up in the expressions above."""
    traced = Traced()
    for function in EXPRESSIONS.values():
        traced(function)
    for operation in ARITHMETIC + COMPARISONS:
        traced(lambda a, b, m, xp, of=operation: of(a, b))
    assert {node.operation for node in traced.graph.nodes} == {
        *MEANINGS, "load", "flag", "constant", "units"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("function", "more"),
    [
        (lambda a, b, m, xp: (a * b) + (a * b), 2),
        (lambda a, b, m, xp: (a - b) * (b - a), 3),
        (lambda a, b, m, xp: 0.5 * a + 0.5, 3),
        (lambda a, b, m, xp: sigmoid(a, xp=xp) * (1 - sigmoid(a, xp=xp)), 4),
        (lambda a, b, m, xp: xp.tanh(a) + xp.tanh(a) + xp.tanh(b), 4),
        (lambda a, b, m, xp: a**4 + a**3, 4),
        (lambda a, b, m, xp: xp.ones_like(a) * (a / 1), 3),
        (lambda a, b, m, xp: xp.where(m, a, b) + xp.where(m, a, b), 2),
        (lambda a, b, m, xp: +a, 0),
    ],
)
def test_what_comes_up_twice_is_written_down_once(traced, function, more):
    before = len(traced.graph.nodes)
    traced(function)
    assert len(traced.graph.nodes) - before == more


def test_the_lstm_takes_three_sigmoid_and_two_tanh():
    nodes = programs.forward(LSTM).record.nodes
    found = [node.operation for node in nodes if node.operation in {"exp", "sigmoid", "tanh"}]
    assert sorted(found) == ["sigmoid"] * 3 + ["tanh"] * 2


BRANCH = "it branches on a value; use `xp.where`"
NUMBER = "it reads a value as a Python number"
APART = "it takes an array apart"
PRODUCT = "it has a matrix product"
TRUTHS = "it computes with two truth values; use `&`, `|` or `xp.where`"
LOGICAL = "it uses `&`, `|` or `~` on a value that is not a comparison"
WHERE = "it calls `xp.where` with a condition that is not a comparison"
FUNCTIONS = (
    "abs clip cos exp expm1 floor log log1p max maximum mean min minimum ones_like pow reciprocal "
    "sign sin sqrt square sum tanh where zeros_like"
)
AXIS = "it calls `xp.{}` over other axes than the last one, that of the units"
UNKNOWN = f"it uses `xp.sinh`; what can be compiled is {FUNCTIONS} and operators"
OPERAND = "it uses a {} instead of a number or an argument"

REFUSED = [
    (lambda a, b, m, xp: a if a > 0 else b, BRANCH),
    (lambda a, b, m, xp: a or b, BRANCH),
    (lambda a, b, m, xp: float(a), NUMBER),
    (lambda a, b, m, xp: int(a), NUMBER),
    (lambda a, b, m, xp: [a, b][a], NUMBER),
    (lambda a, b, m, xp: math.tanh(a), NUMBER),
    (lambda a, b, m, xp: a[0], APART),
    (lambda a, b, m, xp: len(a), APART),
    (lambda a, b, m, xp: [*a], APART),
    (lambda a, b, m, xp: a @ b, PRODUCT),
    (lambda a, b, m, xp: np.eye(2) @ a, PRODUCT),
    (lambda a, b, m, xp: m + (a > 0), TRUTHS),
    (lambda a, b, m, xp: True - m, TRUTHS),
    (lambda a, b, m, xp: a & m, LOGICAL),
    (lambda a, b, m, xp: m | 1, LOGICAL),
    (lambda a, b, m, xp: True & m, LOGICAL),
    (lambda a, b, m, xp: True | m, LOGICAL),
    (lambda a, b, m, xp: ~a, LOGICAL),
    (lambda a, b, m, xp: xp.where(a, a, b), WHERE),
    (lambda a, b, m, xp: xp.where(True, a, b), WHERE),  # noqa: FBT003 - a condition
    (lambda a, b, m, xp: a ** "b", OPERAND.format("str")),
    (lambda a, b, m, xp: a + None, OPERAND.format("NoneType")),
    (lambda a, b, m, xp: 1j * a, OPERAND.format("complex")),
    (lambda a, b, m, xp: np.ones(2) * a, OPERAND.format("ndarray")),
    (lambda a, b, m, xp: a < "b", OPERAND.format("str")),
    (lambda a, b, m, xp: xp.maximum(a, [b]), OPERAND.format("list")),
    (lambda a, b, m, xp: a.shape, "it uses the attribute `shape` of an array"),
    (lambda a, b, m, xp: a.sum(), "it uses the attribute `sum` of an array"),
    (lambda a, b, m, xp: xp.sinh(a), UNKNOWN),
    (lambda a, b, m, xp: xp.sum(a), AXIS.format("sum")),
    (lambda a, b, m, xp: xp.max(a, axis=0), AXIS.format("max")),
    (lambda a, b, m, xp: xp.mean(xp.mean(a, axis=-1), axis=-1), AXIS.format("sum")),
]


@pytest.mark.parametrize(("function", "sentence"), REFUSED)
def test_refusals(traced, function, sentence):
    with pytest.raises(Untraceable) as caught:
        traced(function)
    assert str(caught.value) == sentence
