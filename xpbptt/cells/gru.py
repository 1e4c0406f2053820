"""The gated recurrent unit of Cho et al. (2014); gates in PyTorch's order r z n.

The reset comes after the product, as in cuDNN and PyTorch, so that a step needs one product.

References
----------
.. [1] K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical
   machine translation", EMNLP 2014.
"""

from typing import Any, NamedTuple

from xpbptt.cells.activations import sigmoid
from xpbptt.cells.cell import Cell


class Gates(NamedTuple):
    """The reset gate r, update gate z and candidate n."""

    r: Any
    z: Any
    n: Any


class State(NamedTuple):
    """The hidden state h, which is also the output."""

    h: Any


class Residuals(NamedTuple):
    """The gates, and the state's part of the candidate, which the reset gate multiplies."""

    r: Any
    z: Any
    n: Any
    v_n: Any


def forward(u: Gates, v: Gates, state: State, *, xp: Any) -> tuple[State, Residuals]:
    """Mix the old state with the candidate."""
    r = sigmoid(u.r + v.r, xp=xp)
    z = sigmoid(u.z + v.z, xp=xp)
    n = xp.tanh(u.n + r * v.n)
    h = n + z * (state.h - n)
    return State(h), Residuals(r, z, n, v.n)


def backward(
    residuals: Residuals, state: State, new: State, dnew: State, *, xp: Any
) -> tuple[Gates, Gates, State]:
    """Return the derivative of `forward`, line for line."""
    r, z, n, v_n = residuals
    dn = dnew.h * (1 - z) * (1 - n * n)
    dz = dnew.h * (state.h - n) * z * (1 - z)
    dr = dn * v_n * r * (1 - r)
    return Gates(dr, dz, dn), Gates(dr, dz, dn * r), State(h=dnew.h * z)


GRU = Cell("GRU", Gates, State, forward, backward)
