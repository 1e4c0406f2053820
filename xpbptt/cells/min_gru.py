"""The minimal GRU, whose gates do not see the state: no product with W_hh. Gates z n.

::

    z = σ(u_z)                        (1)
    n = g(u_n)                        (2)
    h' = (1 - z) ∘ h + z ∘ n          (3)

with g(a) = a + ½ for a ≥ 0 and σ(a) below, which keeps a state that starts positive positive
(`MIN_GRU`), or with g(a) = a (`MIN_GRU_LINEAR`).

Section 3.1 of [1]_ has g(a) = a; appendix B has the other one, for its computation in log space. A
published implementation, lucidrains/minGRU-pytorch, disagrees with itself between its sequential
and its parallel mode (its issue 9): equation (3) is what both mean.

References
----------
.. [1] L. Feng, F. Tung, M. O. Ahmed, Y. Bengio and H. Hajimirsadeghi, "Were RNNs all we
   needed?", 2024, arXiv:2410.01201.
"""

from typing import Any, NamedTuple

from xpbptt.cells.activations import sigmoid
from xpbptt.cells.cell import Cell
from xpbptt.cells.gru import State


class Gates(NamedTuple):
    """The update gate z and the candidate n."""

    z: Any
    n: Any


def positive(a: Any, *, xp: Any) -> Any:
    """Return g(a) of equation (2), which is above zero."""
    return xp.where(a >= 0, a + 0.5, sigmoid(a, xp=xp))


def positive_slope(n: Any, *, xp: Any) -> Any:
    """Return the derivative of g, from its value n."""
    return xp.where(n >= 0.5, xp.ones_like(n), n * (1 - n))  # noqa: PLR2004 - g(0)


def forward(u: Gates, v: Gates, state: State, *, xp: Any) -> tuple[State, Gates]:
    """Compute equations (1) to (3)."""
    z = sigmoid(u.z, xp=xp)
    n = positive(u.n, xp=xp)
    h = state.h + z * (n - state.h)
    return State(h), Gates(z, n)


def backward(
    residuals: Gates, state: State, new: State, dnew: State, *, xp: Any
) -> tuple[Gates, None, State]:
    """Return the derivative of `forward`."""
    z, n = residuals
    dz = dnew.h * (n - state.h) * z * (1 - z)
    dn = dnew.h * z * positive_slope(n, xp=xp)
    return Gates(dz, dn), None, State(dnew.h * (1 - z))


def linear_forward(u: Gates, v: Gates, state: State, *, xp: Any) -> tuple[State, Gates]:
    """Compute equations (1) to (3), with g(a) = a."""
    z = sigmoid(u.z, xp=xp)
    h = state.h + z * (u.n - state.h)
    return State(h), Gates(z, u.n)


def linear_backward(
    residuals: Gates, state: State, new: State, dnew: State, *, xp: Any
) -> tuple[Gates, None, State]:
    """Return the derivative of `linear_forward`."""
    z, n = residuals
    dz = dnew.h * (n - state.h) * z * (1 - z)
    return Gates(dz, dnew.h * z), None, State(dnew.h * (1 - z))


MIN_GRU = Cell("MinGRU", Gates, State, forward, backward, recurrent=())
MIN_GRU_LINEAR = Cell("MinGRU-linear", Gates, State, linear_forward, linear_backward, recurrent=())
