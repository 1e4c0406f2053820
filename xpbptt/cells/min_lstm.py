"""The minimal LSTM, whose gates do not see the state: no product with W_hh. Gates f i n.

::

    f' = σ(u_f) / (σ(u_f) + σ(u_i))   (1)
    n = g(u_n)                        (2)
    h' = f' ∘ h + (1 - f') ∘ n        (3)

with g(a) = a + ½ for a ≥ 0 and σ(a) below.

These are section 3.2 of [1]_ and the g of its appendix B. Equation (1) is computed as
σ(log σ(u_f) - log σ(u_i)), which is no 0 / 0 where both gates are closed.

References
----------
.. [1] L. Feng, F. Tung, M. O. Ahmed, Y. Bengio and H. Hajimirsadeghi, "Were RNNs all we
   needed?", 2024, arXiv:2410.01201.
"""

from typing import Any, NamedTuple

from xpbptt.cells.activations import log_sigmoid, sigmoid
from xpbptt.cells.cell import Cell
from xpbptt.cells.gru import State
from xpbptt.cells.min_gru import positive, positive_slope


class Gates(NamedTuple):
    """The forget gate f, input gate i and candidate n."""

    f: Any
    i: Any
    n: Any


class Residuals(NamedTuple):
    """f', the candidate, and the slopes of log σ at both gates."""

    f: Any
    n: Any
    slope_f: Any
    slope_i: Any


def forward(u: Gates, v: Gates, state: State, *, xp: Any) -> tuple[State, Residuals]:
    """Compute equations (1) to (3)."""
    f = sigmoid(log_sigmoid(u.f, xp=xp) - log_sigmoid(u.i, xp=xp), xp=xp)
    n = positive(u.n, xp=xp)
    slopes = sigmoid(-u.f, xp=xp), sigmoid(-u.i, xp=xp)
    return State(n + f * (state.h - n)), Residuals(f, n, *slopes)


def backward(
    residuals: Residuals, state: State, new: State, dnew: State, *, xp: Any
) -> tuple[Gates, None, State]:
    """Return the derivative of `forward`."""
    f, n, slope_f, slope_i = residuals
    d = dnew.h * (state.h - n) * f * (1 - f)
    dn = dnew.h * (1 - f) * positive_slope(n, xp=xp)
    return Gates(d * slope_f, -d * slope_i, dn), None, State(dnew.h * f)


MIN_LSTM = Cell("MinLSTM", Gates, State, forward, backward, recurrent=())
