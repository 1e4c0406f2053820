"""The long short-term memory of Hochreiter and Schmidhuber (1997), gates ordered i f g o.

The forget gate is that of Gers, Schmidhuber and Cummins (2000); the order is PyTorch's.

References
----------
.. [1] S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9, 1997.
.. [2] F. A. Gers, J. Schmidhuber and F. Cummins, "Learning to forget: continual prediction with
   LSTM", Neural Computation 12, 2000.
"""

from typing import Any, NamedTuple

from xpbptt.cells.activations import sigmoid
from xpbptt.cells.cell import Cell


class Gates(NamedTuple):
    """The input gate i, forget gate f, candidate g and output gate o."""

    i: Any
    f: Any
    g: Any
    o: Any


class State(NamedTuple):
    """The hidden state h, which is also the output, and the memory cell c."""

    h: Any
    c: Any


def forward(u: Gates, v: Gates, state: State, *, xp: Any) -> tuple[State, Gates]:
    """Compute the gates, update the memory cell and read the output from it."""
    i = sigmoid(u.i + v.i, xp=xp)
    f = sigmoid(u.f + v.f, xp=xp)
    g = xp.tanh(u.g + v.g)
    o = sigmoid(u.o + v.o, xp=xp)
    c = f * state.c + i * g
    h = o * xp.tanh(c)
    return State(h, c), Gates(i, f, g, o)


def backward(
    residuals: Gates, state: State, new: State, dnew: State, *, xp: Any
) -> tuple[Gates, Gates, State]:
    """Return the derivative of `forward`, line for line."""
    i, f, g, o = residuals
    tanh_c = xp.tanh(new.c)
    dc = dnew.c + dnew.h * o * (1 - tanh_c * tanh_c)
    di = dc * g * i * (1 - i)
    df = dc * state.c * f * (1 - f)
    dg = dc * i * (1 - g * g)
    do = dnew.h * tanh_c * o * (1 - o)
    dz = Gates(di, df, dg, do)
    return dz, dz, State(h=None, c=dc * f)


LSTM = Cell("LSTM", Gates, State, forward, backward)
