"""Random elementwise formulas, and their derivatives by reverse accumulation.

A formula is a list of nodes, each an operation on earlier nodes. Values and derivatives are
computed with operators and functions of a namespace only, on arrays as on the tracer's symbols.
"""

from collections.abc import Callable
from typing import NamedTuple

from xpbptt.cells import sigmoid


class Node(NamedTuple):
    """An operation on the nodes at `operands`, and a constant that it may use."""

    operation: str
    operands: tuple[int, ...] = ()
    constant: float = 0.0


class Rule(NamedTuple):
    """What an operation computes, and what it hands back to each operand.

    `value` takes ``xp, constant, *operands``; `back` takes ``xp, constant, d, y, *operands`` with
    the gradient d of the result, and with functions that return the result y and the operands, so
    that nothing is computed which the derivative does not need.
    """

    value: Callable
    back: Callable
    takes: str = "n"  # one letter an operand: a number or a truth value
    gives: str = "n"


def _kept(xp, condition, d):
    return xp.where(condition, d, xp.zeros_like(d))


RULES = {
    "add": Rule(lambda xp, c, a, b: a + b, lambda xp, c, d, y, a, b: (d, d), "nn"),
    "subtract": Rule(lambda xp, c, a, b: a - b, lambda xp, c, d, y, a, b: (d, -d), "nn"),
    "multiply": Rule(lambda xp, c, a, b: a * b, lambda xp, c, d, y, a, b: (d * b(), a() * d), "nn"),
    "damped": Rule(  # a division whose divisor is at least 1
        lambda xp, c, a, b: a / (1 + b * b),
        lambda xp, c, d, y, a, b: (
            d / (1 + b() * b()),
            -2 * d * a() * b() / (1 + b() * b()) ** 2,
        ),
        "nn",
    ),
    "scaled": Rule(lambda xp, c, a: c * a, lambda xp, c, d, y, a: (c * d,)),
    "shifted": Rule(lambda xp, c, a: a + c, lambda xp, c, d, y, a: (d,)),
    "mirrored": Rule(lambda xp, c, a: c - a, lambda xp, c, d, y, a: (-d,)),
    "inverse": Rule(
        lambda xp, c, a: 1 / (1 + xp.abs(a)),
        lambda xp, c, d, y, a: (xp.where(a() < 0, d, -d) * y() * y(),),
    ),
    "negative": Rule(lambda xp, c, a: -a, lambda xp, c, d, y, a: (-d,)),
    "square": Rule(lambda xp, c, a: a**2, lambda xp, c, d, y, a: (2 * a() * d,)),
    "abs": Rule(lambda xp, c, a: xp.abs(a), lambda xp, c, d, y, a: (xp.where(a() < 0, -d, d),)),
    "tanh": Rule(lambda xp, c, a: xp.tanh(a), lambda xp, c, d, y, a: (d * (1 - y() * y()),)),
    "sigmoid": Rule(
        lambda xp, c, a: sigmoid(a, xp=xp), lambda xp, c, d, y, a: (d * y() * (1 - y()),)
    ),
    "bell": Rule(lambda xp, c, a: xp.exp(-(a * a)), lambda xp, c, d, y, a: (-2 * a() * y() * d,)),
    "growth": Rule(
        lambda xp, c, a: xp.exp(xp.minimum(a, 1)),
        lambda xp, c, d, y, a: (_kept(xp, a() < 1, d * y()),),
    ),
    "root": Rule(lambda xp, c, a: xp.sqrt(a * a + 1), lambda xp, c, d, y, a: (d * a() / y(),)),
    "rectified": Rule(
        lambda xp, c, a: xp.maximum(a, c), lambda xp, c, d, y, a: (_kept(xp, a() > c, d),)
    ),
    "maximum": Rule(
        lambda xp, c, a, b: xp.maximum(a, b),
        lambda xp, c, d, y, a, b: (_kept(xp, a() > b(), d), _kept(xp, ~(a() > b()), d)),
        "nn",
    ),
    "minimum": Rule(
        lambda xp, c, a, b: xp.minimum(a, b),
        lambda xp, c, d, y, a, b: (_kept(xp, a() < b(), d), _kept(xp, a() >= b(), d)),
        "nn",
    ),
    "where": Rule(
        lambda xp, c, t, a, b: xp.where(t, a, b),
        lambda xp, c, d, y, t, a, b: (None, _kept(xp, t(), d), _kept(xp, ~t(), d)),
        "tnn",
    ),
    "counted": Rule(  # computing with a truth value
        lambda xp, c, t, a: t * a, lambda xp, c, d, y, t, a: (None, t() * d), "tn"
    ),
    "ones": Rule(lambda xp, c, a: a + xp.ones_like(a), lambda xp, c, d, y, a: (d,)),
    "less": Rule(lambda xp, c, a, b: a < b, lambda *_: (None, None), "nn", "t"),
    "at_least": Rule(lambda xp, c, a: a >= c, lambda *_: (None,), "n", "t"),
    "differs": Rule(lambda xp, c, a, b: a != b, lambda *_: (None, None), "nn", "t"),
    "and": Rule(lambda xp, c, t, s: t & s, lambda *_: (None, None), "tt", "t"),
    "or": Rule(lambda xp, c, t, s: t | s, lambda *_: (None, None), "tt", "t"),
    "not": Rule(lambda xp, c, t: ~t, lambda *_: (None,), "t", "t"),
}
LEAF = "leaf"


class Formula:
    """Nodes, of which the first are leaves."""

    def __init__(self, leaves: int) -> None:
        self.nodes = [Node(LEAF)] * leaves

    def add(self, operation: str, *operands: int, constant: float = 0.0) -> int:
        """Append a node and return its place."""
        self.nodes.append(Node(operation, operands, constant))
        return len(self.nodes) - 1

    def grow(self, random, count: int) -> None:
        """Append so many random nodes, which like the latest ones as operands."""
        for _ in range(count):
            places = {
                kind: [k for k in range(len(self.nodes)) if self.gives(k) == kind] for kind in "nt"
            }
            fitting = [name for name, rule in RULES.items() if all(places[k] for k in rule.takes)]
            operation = random.choice(fitting)
            operands = [
                random.choice(places[k][-random.choice((3, 99)) :]) for k in RULES[operation].takes
            ]
            self.add(operation, *operands, constant=random.choice((-0.5, 0.25, 1.0, 2.0)))

    def gives(self, place: int) -> str:
        """Return "n" for a number, "t" for a truth value."""
        operation = self.nodes[place].operation
        return "n" if operation == LEAF else RULES[operation].gives

    def ancestors(self, place: int) -> set[int]:
        """Return the places of all that a node depends on, itself among them."""
        found, waiting = set(), [place]
        while waiting:
            place = waiting.pop()
            if place not in found:
                found.add(place)
                waiting += self.nodes[place].operands
        return found

    def values(self, known: dict[int, object], *, xp) -> Callable[[int], object]:
        """Return a function that computes the value of a node from the known ones, once."""

        def value(place):
            if place not in known:
                operation, operands, constant = self.nodes[place]
                known[place] = RULES[operation].value(xp, constant, *map(value, operands))
            return known[place]

        return value

    def gradients(self, value, gradients: dict[int, object], *, xp) -> dict[int, object]:
        """Return the gradients by all nodes from those by some; what depends on nothing lacks."""
        total = dict(gradients)
        for place in reversed(range(len(self.nodes))):
            operation, operands, constant = self.nodes[place]
            if place not in total or operation == LEAF:
                continue
            lazily = [lambda each=each: value(each) for each in (place, *operands)]
            parts = RULES[operation].back(xp, constant, total[place], *lazily)
            for operand, part in zip(operands, parts, strict=True):
                if part is not None:
                    total[operand] = total[operand] + part if operand in total else part
        return total
