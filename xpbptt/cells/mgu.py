"""The minimal gated unit: one gate that forgets and lets in. Gates f n.

::

    f = σ(u_f + v_f)                  (1)
    n = tanh(u_n + f ∘ v_n)           (2)
    h' = (1 - f) ∘ h + f ∘ n          (3)

In [1]_ the gate multiplies h before the product with W_n; here it multiplies the product, as in
PyTorch's GRU, so that a step needs one product.

References
----------
.. [1] G.-B. Zhou et al., "Minimal gated unit for recurrent neural networks", International
   Journal of Automation and Computing 13, 2016.
"""

from typing import Any, NamedTuple

from xpbptt.cells.activations import sigmoid
from xpbptt.cells.cell import Cell
from xpbptt.cells.gru import State


class Gates(NamedTuple):
    """The gate f and the candidate n."""

    f: Any
    n: Any


class Residuals(NamedTuple):
    """The gate, the candidate, and the state's part of it, which the gate multiplies."""

    f: Any
    n: Any
    v_n: Any


def forward(u: Gates, v: Gates, state: State, *, xp: Any) -> tuple[State, Residuals]:
    """Compute equations (1) to (3)."""
    f = sigmoid(u.f + v.f, xp=xp)
    n = xp.tanh(u.n + f * v.n)
    return State(state.h + f * (n - state.h)), Residuals(f, n, v.n)


def backward(
    residuals: Residuals, state: State, new: State, dnew: State, *, xp: Any
) -> tuple[Gates, Gates, State]:
    """Return the derivative of `forward`."""
    f, n, v_n = residuals
    dn = dnew.h * f * (1 - n * n)
    df = (dnew.h * (n - state.h) + dn * v_n) * f * (1 - f)
    return Gates(df, dn), Gates(df, dn * f), State(dnew.h * (1 - f))


MGU = Cell("MGU", Gates, State, forward, backward)
