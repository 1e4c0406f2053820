"""The sLSTM of xLSTM: exponential gates, a normaliser n, and a stabiliser m. Gates i f z o.

::

    l = log σ(u_f + v_f)                                  (1)
    m' = max(l + m, u_i + v_i)                            (2)
    i = exp(u_i + v_i - m'),  f = exp(l + m - m')         (3)
    z = tanh(u_z + v_z),  o = σ(u_o + v_o)                (4)
    c' = f ∘ c + i ∘ z,  n' = f ∘ n + i                   (5)
    h' = o ∘ c' / n'                                      (6)

This is the stabilised form of [1]_ with the sigmoid forget gate. With heads, W_hh connects the
units of each with one another only; the group norm that follows in the paper's block is no part of
the cell. As in the authors' code, m' is u_i + v_i where n is still zero, so that the first step is
not that of a stabiliser of zero. The derivative is that of all four parts of the state, the
stabiliser's included; through h alone that one cancels.

References
----------
.. [1] M. Beck et al., "xLSTM: extended long short-term memory", NeurIPS 2024.
"""

from typing import Any, NamedTuple

from xpbptt.cells.activations import log_sigmoid, sigmoid
from xpbptt.cells.cell import Cell


class Gates(NamedTuple):
    """The input gate i, forget gate f, candidate z and output gate o."""

    i: Any
    f: Any
    z: Any
    o: Any


class State(NamedTuple):
    """The output h, memory cell c, normaliser n and stabiliser m."""

    h: Any
    c: Any
    n: Any
    m: Any


class Residuals(NamedTuple):
    """The stabilised gates, whether m' is the input gate's, and the slope of (1)."""

    i: Any
    f: Any
    z: Any
    o: Any
    fresh: Any
    slope: Any


def forward(u: Gates, v: Gates, state: State, *, xp: Any) -> tuple[State, Residuals]:
    """Compute equations (1) to (6)."""
    a, b = u.i + v.i, u.f + v.f
    kept = log_sigmoid(b, xp=xp) + state.m
    fresh = (state.n == 0) | (a >= kept)
    m = xp.where(fresh, a, kept)
    i, f = xp.exp(a - m), xp.exp(kept - m)
    z, o = xp.tanh(u.z + v.z), sigmoid(u.o + v.o, xp=xp)
    c, n = f * state.c + i * z, f * state.n + i
    return State(o * c / n, c, n, m), Residuals(i, f, z, o, fresh, sigmoid(-b, xp=xp))


def backward(
    residuals: Residuals, state: State, new: State, dnew: State, *, xp: Any
) -> tuple[Gates, Gates, State]:
    """Return the derivative of `forward`, from the last line to the first."""
    i, f, z, o, fresh, slope = residuals
    n = f * state.n + i  # `new` is the state before a masked step, whose n may be zero
    ratio = (f * state.c + i * z) / n
    do = dnew.h * ratio * o * (1 - o)
    dc = dnew.c + dnew.h * o / n
    dn = dnew.n - dnew.h * o * ratio / n
    dz = dc * i * (1 - z * z)
    log_i = (dc * z + dn) * i  # the gradient of the exponent
    log_f = (dc * state.c + dn * state.n) * f
    dm = dnew.m - log_i - log_f
    zero = xp.zeros_like(dm)
    di = log_i + xp.where(fresh, dm, zero)
    dkept = log_f + xp.where(fresh, zero, dm)
    du = Gates(di, dkept * slope, dz, do)
    return du, du, State(None, dc * f, dn * f, dkept)


SLSTM = Cell("SLSTM", Gates, State, forward, backward)


def with_heads(heads: int) -> Cell:
    """Return the cell with so many heads."""
    if heads == 1:
        return SLSTM
    return SLSTM._replace(name=f"SLSTM-{heads}-heads", heads=heads)
