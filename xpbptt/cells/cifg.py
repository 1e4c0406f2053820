"""The LSTM with coupled input and forget gates (CIFG): what comes in is what is forgotten.

::

    i = σ(u_i + v_i)                  (1)
    g = tanh(u_g + v_g)               (2)
    o = σ(u_o + v_o)                  (3)
    c' = (1 - i) ∘ c + i ∘ g          (4)
    h' = o ∘ tanh(c')                 (5)

It is the variant CIFG of [1]_, f = 1 - i, without its peepholes.

References
----------
.. [1] K. Greff et al., "LSTM: a search space odyssey", IEEE Transactions on Neural Networks and
   Learning Systems 28, 2017.
"""

from typing import Any, NamedTuple

from xpbptt.cells.activations import sigmoid
from xpbptt.cells.cell import Cell
from xpbptt.cells.lstm import State


class Gates(NamedTuple):
    """The input gate i, candidate g and output gate o."""

    i: Any
    g: Any
    o: Any


def forward(u: Gates, v: Gates, state: State, *, xp: Any) -> tuple[State, Gates]:
    """Compute equations (1) to (5)."""
    i = sigmoid(u.i + v.i, xp=xp)
    g = xp.tanh(u.g + v.g)
    o = sigmoid(u.o + v.o, xp=xp)
    c = state.c + i * (g - state.c)
    return State(o * xp.tanh(c), c), Gates(i, g, o)


def backward(
    residuals: Gates, state: State, new: State, dnew: State, *, xp: Any
) -> tuple[Gates, Gates, State]:
    """Return the derivative of `forward`."""
    i, g, o = residuals
    tanh_c = xp.tanh(new.c)
    do = dnew.h * tanh_c * o * (1 - o)
    dc = dnew.c + dnew.h * o * (1 - tanh_c * tanh_c)
    dg = dc * i * (1 - g * g)
    di = dc * (g - state.c) * i * (1 - i)
    dz = Gates(di, dg, do)
    return dz, dz, State(None, dc * (1 - i))


CIFG_LSTM = Cell("CIFG", Gates, State, forward, backward)
