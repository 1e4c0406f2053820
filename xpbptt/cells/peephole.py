"""The LSTM with peepholes: the gates also see the memory cell. Gates i f g o.

::

    i = σ(u_i + v_i + p_i ∘ c)        (1)
    f = σ(u_f + v_f + p_f ∘ c)        (2)
    g = tanh(u_g + v_g)               (3)
    c' = f ∘ c + i ∘ g                (4)
    o = σ(u_o + v_o + p_o ∘ c')       (5)
    h' = o ∘ tanh(c')                 (6)

The output gate sees the new cell, as in [1]_.

References
----------
.. [1] F. A. Gers, N. N. Schraudolph and J. Schmidhuber, "Learning precise timing with LSTM
   recurrent networks", JMLR 3, 2002.
"""

from typing import Any, NamedTuple

from xpbptt.cells.activations import sigmoid
from xpbptt.cells.cell import Cell
from xpbptt.cells.lstm import Gates, State


class Peepholes(NamedTuple):
    """The weights (H,) from the memory cell to the gates."""

    p_i: Any
    p_f: Any
    p_o: Any


def forward(u: Gates, v: Gates, state: State, *, extra: Peepholes, xp: Any) -> tuple[State, Gates]:
    """Compute equations (1) to (6)."""
    i = sigmoid(u.i + v.i + extra.p_i * state.c, xp=xp)
    f = sigmoid(u.f + v.f + extra.p_f * state.c, xp=xp)
    g = xp.tanh(u.g + v.g)
    c = f * state.c + i * g
    o = sigmoid(u.o + v.o + extra.p_o * c, xp=xp)
    return State(o * xp.tanh(c), c), Gates(i, f, g, o)


def backward(
    residuals: Gates, state: State, new: State, dnew: State, *, extra: Peepholes, xp: Any
) -> tuple[Gates, Gates, State, Peepholes]:
    """Return the derivative of `forward`, from the last line to the first."""
    i, f, g, o = residuals
    tanh_c = xp.tanh(new.c)
    do = dnew.h * tanh_c * o * (1 - o)
    dc = dnew.c + dnew.h * o * (1 - tanh_c * tanh_c) + do * extra.p_o
    dg = dc * i * (1 - g * g)
    df = dc * state.c * f * (1 - f)
    di = dc * g * i * (1 - i)
    dz = Gates(di, df, dg, do)
    dpast = dc * f + di * extra.p_i + df * extra.p_f
    return dz, dz, State(None, dpast), Peepholes(di * state.c, df * state.c, do * new.c)


def own(hidden_size: int) -> Peepholes:
    """Return the shapes of the peepholes."""
    return Peepholes((hidden_size,), (hidden_size,), (hidden_size,))


PEEPHOLE_LSTM = Cell("PeepholeLSTM", Gates, State, forward, backward, extra=own)
