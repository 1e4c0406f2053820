"""The light GRU: no reset gate, and a rectified candidate. Gates z n.

::

    z = σ(u_z + v_z)                  (1)
    n = max(u_n + v_n, 0)             (2)
    h' = z ∘ h + (1 - z) ∘ n          (3)

The batch normalisation of W_ih x that [1]_ adds is left to the caller: without it the rectified
candidate may grow without bound over many steps.

References
----------
.. [1] M. Ravanelli, P. Brakel, M. Omologo and Y. Bengio, "Light gated recurrent units for speech
   recognition", IEEE Transactions on Emerging Topics in Computational Intelligence 2, 2018.
"""

from typing import Any, NamedTuple

from xpbptt.cells.activations import sigmoid
from xpbptt.cells.cell import Cell
from xpbptt.cells.gru import State


class Gates(NamedTuple):
    """The update gate z and the candidate n."""

    z: Any
    n: Any


def forward(u: Gates, v: Gates, state: State, *, xp: Any) -> tuple[State, Gates]:
    """Compute equations (1) to (3)."""
    z = sigmoid(u.z + v.z, xp=xp)
    a = u.n + v.n
    n = xp.maximum(a, xp.zeros_like(a))
    return State(n + z * (state.h - n)), Gates(z, n)


def backward(
    residuals: Gates, state: State, new: State, dnew: State, *, xp: Any
) -> tuple[Gates, Gates, State]:
    """Return the derivative of `forward`."""
    z, n = residuals
    dn = xp.where(n > 0, dnew.h * (1 - z), xp.zeros_like(n))
    dz = dnew.h * (state.h - n) * z * (1 - z)
    du = Gates(dz, dn)
    return du, du, State(dnew.h * z)


LIGHT_GRU = Cell("LightGRU", Gates, State, forward, backward)
