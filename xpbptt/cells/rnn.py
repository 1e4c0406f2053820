"""The simple recurrent network of Elman (1990): h' = φ(u + v), with φ = tanh or relu.

References
----------
.. [1] J. L. Elman, "Finding structure in time", Cognitive Science 14, 1990.
"""

from typing import Any, NamedTuple

from xpbptt.cells.cell import Cell


class Gates(NamedTuple):
    """The one sum a that goes into the nonlinearity."""

    a: Any


class State(NamedTuple):
    """The hidden state h, which is also the output."""

    h: Any


def tanh_forward(u: Gates, v: Gates, state: State, *, xp: Any) -> tuple[State, tuple[Any, ...]]:
    """Compute h' = tanh(a)."""
    return State(h=xp.tanh(u.a + v.a)), ()


def tanh_backward(
    residuals: tuple[Any, ...], state: State, new: State, dnew: State, *, xp: Any
) -> tuple[Gates, Gates, State]:
    """Compute da = dh' (1 - h'²)."""
    da = Gates(a=dnew.h * (1 - new.h * new.h))
    return da, da, State(h=None)


def relu_forward(u: Gates, v: Gates, state: State, *, xp: Any) -> tuple[State, tuple[Any, ...]]:
    """Compute h' = max(a, 0)."""
    a = u.a + v.a
    return State(h=xp.maximum(a, xp.zeros_like(a))), ()


def relu_backward(
    residuals: tuple[Any, ...], state: State, new: State, dnew: State, *, xp: Any
) -> tuple[Gates, Gates, State]:
    """Compute da = dh' where h' > 0, else 0."""
    da = Gates(a=xp.where(new.h > 0, dnew.h, xp.zeros_like(dnew.h)))
    return da, da, State(h=None)


RNN_TANH = Cell("RNN", Gates, State, tanh_forward, tanh_backward)
RNN_RELU = Cell("RNN-relu", Gates, State, relu_forward, relu_backward)
