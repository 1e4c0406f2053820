"""The minimal GRU, whose gates do not see the state: no product with W_hh. Gates z n.

    z = σ(u_z)                        (1)
    n = g(u_n)                        (2)
    h' = (1 - z) ∘ h + z ∘ n          (3)

with g(a) = a + ½ for a ≥ 0 and σ(a) below, which keeps a state that starts positive positive
(`MIN_GRU`), or with g(a) = a (`MIN_GRU_LINEAR`).

L. Feng, F. Tung, M. O. Ahmed, Y. Bengio and H. Hajimirsadeghi, "Were RNNs all we needed?", 2024,
arXiv:2410.01201: section 3.1 has g(a) = a, appendix B.2 the other one, with which the paper's
experiments run in log space. The page's two cells are those two. A published implementation,
lucidrains/minGRU-pytorch, has disagreed with itself between its sequential and its parallel mode
(its issue 9): equation (3) is what both mean.
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
    return _mixed(sigmoid(u.z, xp=xp), positive(u.n, xp=xp), state)


def backward(
    residuals: Gates, state: State, new: State, dnew: State, *, xp: Any
) -> tuple[Gates, None, State]:
    """Return the derivative of `forward`."""
    _, n = residuals
    du, dv, dstate = linear_backward(residuals, state, new, dnew, xp=xp)
    return Gates(du.z, du.n * positive_slope(n, xp=xp)), dv, dstate


def linear_forward(u: Gates, v: Gates, state: State, *, xp: Any) -> tuple[State, Gates]:
    """Compute equations (1) to (3), with g(a) = a."""
    return _mixed(sigmoid(u.z, xp=xp), u.n, state)


def linear_backward(
    residuals: Gates, state: State, new: State, dnew: State, *, xp: Any
) -> tuple[Gates, None, State]:
    """Return the derivative of `linear_forward`."""
    z, n = residuals
    dz = dnew.h * (n - state.h) * z * (1 - z)
    return Gates(dz, dnew.h * z), None, State(dnew.h * (1 - z))


def _mixed(z: Any, n: Any, state: State) -> tuple[State, Gates]:
    return State(state.h + z * (n - state.h)), Gates(z, n)


MIN_GRU = Cell("MinGRU", Gates, State, forward, backward, recurrent=())
MIN_GRU_LINEAR = Cell("MinGRU-linear", Gates, State, linear_forward, linear_backward, recurrent=())
