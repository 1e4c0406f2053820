"""The simple recurrent unit: gates that see their own unit's past only. Gates x f r k.

::

    f = σ(u_f + v_f ∘ c)              (1)
    r = σ(u_r + v_r ∘ c)              (2)
    c' = f ∘ c + (1 - f) ∘ u_x        (3)
    h' = r ∘ c' + (1 - r) ∘ u_k       (4)

Where I = H [1]_ has x itself in place of u_k in (4); a projection of it is what the authors' code
takes where I and H differ, and what is taken here.

References
----------
.. [1] T. Lei, Y. Zhang, S. I. Wang, H. Dai and Y. Artzi, "Simple recurrent units for highly
   parallelizable recurrence", EMNLP 2018.
"""

from typing import Any, NamedTuple

from xpbptt.cells.activations import sigmoid
from xpbptt.cells.cell import Cell
from xpbptt.cells.lstm import State


class Gates(NamedTuple):
    """The candidate x, forget gate f, reset gate r and the way past the cell k."""

    x: Any
    f: Any
    r: Any
    k: Any


class Own(NamedTuple):
    """The weights (H,) from the memory cell to the gates."""

    v_f: Any
    v_r: Any


def forward(u: Gates, v: Gates, state: State, *, extra: Own, xp: Any) -> tuple[State, Gates]:
    """Compute equations (1) to (4)."""
    f = sigmoid(u.f + extra.v_f * state.c, xp=xp)
    r = sigmoid(u.r + extra.v_r * state.c, xp=xp)
    c = u.x + f * (state.c - u.x)
    return State(u.k + r * (c - u.k), c), Gates(u.x, f, r, u.k)


def backward(
    residuals: Gates, state: State, new: State, dnew: State, *, extra: Own, xp: Any
) -> tuple[Gates, None, State, Own]:
    """Return the derivative of `forward`."""
    x, f, r, k = residuals
    dr = dnew.h * (new.c - k) * r * (1 - r)
    dc = dnew.c + dnew.h * r
    df = dc * (state.c - x) * f * (1 - f)
    du = Gates(dc * (1 - f), df, dr, dnew.h * (1 - r))
    dpast = dc * f + df * extra.v_f + dr * extra.v_r
    return du, None, State(None, dpast), Own(df * state.c, dr * state.c)


def own(hidden_size: int) -> Own:
    """Return the shapes of the weights."""
    return Own((hidden_size,), (hidden_size,))


SRU = Cell("SRU", Gates, State, forward, backward, extra=own, recurrent=())
