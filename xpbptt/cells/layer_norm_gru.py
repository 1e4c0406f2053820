"""The GRU with layer normalisation of both products. Gates r z n.

::

    a_k = (1 + γ_k) LN(u_r, u_z)_k + (1 + η_k) LN(v_r, v_z)_k + β_k,  k = r z    (1)
    r = σ(a_r),  z = σ(a_z)                                                      (2)
    n = tanh((1 + γ_n) LN(u_n) + β_n + r ∘ ((1 + η_n) LN(v_n) + δ_n))            (3)
    h' = (1 - z) ∘ h + z ∘ n                                                     (4)

As in the supplement of [1]_, LN is over r and z together and over n alone, and z lets the candidate
in, other than in PyTorch's GRU. A gain is kept as its distance from 1. u and v have their biases
b_ih and b_hh, which the paper has outside of LN only.

References
----------
.. [1] J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer normalization", 2016, arXiv:1607.06450.
"""

from typing import Any, NamedTuple

from xpbptt.cells.activations import sigmoid
from xpbptt.cells.cell import Cell
from xpbptt.cells.gru import Gates, State
from xpbptt.cells.layer_norm import normalised, normalised_backward


class Own(NamedTuple):
    """The gains less one of u and of v, the biases, and the bias that r multiplies, (H,) each."""

    gain_u_r: Any
    gain_u_z: Any
    gain_u_n: Any
    gain_v_r: Any
    gain_v_z: Any
    gain_v_n: Any
    bias_r: Any
    bias_z: Any
    bias_n: Any
    bias_v_n: Any


class Residuals(NamedTuple):
    """The gates, what r multiplies, and what is normalised with its scales."""

    r: Any
    z: Any
    n: Any
    inner: Any
    u_r: Any
    u_z: Any
    u_n: Any
    v_r: Any
    v_z: Any
    v_n: Any
    scale_u: Any
    scale_v: Any
    scale_u_n: Any
    scale_v_n: Any


def forward(u: Gates, v: Gates, state: State, *, extra: Own, xp: Any) -> tuple[State, Residuals]:
    """Compute equations (1) to (4)."""
    (u_r, u_z), scale_u = normalised((u.r, u.z), xp=xp)
    (v_r, v_z), scale_v = normalised((v.r, v.z), xp=xp)
    (u_n,), scale_u_n = normalised((u.n,), xp=xp)
    (v_n,), scale_v_n = normalised((v.n,), xp=xp)
    e = extra
    r = sigmoid(u_r + e.gain_u_r * u_r + v_r + e.gain_v_r * v_r + e.bias_r, xp=xp)
    z = sigmoid(u_z + e.gain_u_z * u_z + v_z + e.gain_v_z * v_z + e.bias_z, xp=xp)
    inner = v_n + e.gain_v_n * v_n + e.bias_v_n
    n = xp.tanh(u_n + e.gain_u_n * u_n + e.bias_n + r * inner)
    kept = r, z, n, inner, u_r, u_z, u_n, v_r, v_z, v_n, scale_u, scale_v, scale_u_n, scale_v_n
    return State(state.h + z * (n - state.h)), Residuals(*kept)


def backward(
    residuals: Residuals, state: State, new: State, dnew: State, *, extra: Own, xp: Any
) -> tuple[Gates, Gates, State, Own]:
    """Return the derivative of `forward`, from the last line to the first."""
    r, z, n, inner, u_r, u_z, u_n, v_r, v_z, v_n, scale_u, scale_v, scale_u_n, scale_v_n = residuals
    e = extra
    dn = dnew.h * z * (1 - n * n)
    dz = dnew.h * (n - state.h) * z * (1 - z)
    dr = dn * inner * r * (1 - r)
    dinner = dn * r
    on_u = dr + e.gain_u_r * dr, dz + e.gain_u_z * dz
    on_v = dr + e.gain_v_r * dr, dz + e.gain_v_z * dz
    du_rz = normalised_backward((u_r, u_z), scale_u, on_u, xp=xp)
    dv_rz = normalised_backward((v_r, v_z), scale_v, on_v, xp=xp)
    du_n = normalised_backward((u_n,), scale_u_n, (dn + e.gain_u_n * dn,), xp=xp)
    dv_n = normalised_backward((v_n,), scale_v_n, (dinner + e.gain_v_n * dinner,), xp=xp)
    gains = dr * u_r, dz * u_z, dn * u_n, dr * v_r, dz * v_z, dinner * v_n
    dextra = Own(*gains, dr, dz, dn, dinner)
    return Gates(*du_rz, *du_n), Gates(*dv_rz, *dv_n), State(dnew.h * (1 - z)), dextra


def own(hidden_size: int) -> Own:
    """Return the shapes of the gains and biases."""
    return Own(*[(hidden_size,)] * len(Own._fields))


LAYER_NORM_GRU = Cell("LayerNormGRU", Gates, State, forward, backward, extra=own)
