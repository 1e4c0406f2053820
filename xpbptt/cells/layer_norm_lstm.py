"""The LSTM with layer normalisation of both products and of the memory cell. Gates i f g o.

::

    a_k = (1 + γ_k) LN(u)_k + (1 + η_k) LN(v)_k + β_k,  k = i f g o   (1)
    i = σ(a_i),  f = σ(a_f),  g = tanh(a_g),  o = σ(a_o)              (2)
    c' = f ∘ c + i ∘ g                                                (3)
    h' = o ∘ tanh((1 + γ_c) LN(c') + β_c)                             (4)

These are equations 20 to 22 of [1]_; LN is over all four gates together, see `layer_norm`. A
gain is kept as its distance from 1, so that parameters drawn near zero are a good start. u and
v have their biases b_ih and b_hh, which the paper has outside of LN only.

References
----------
.. [1] J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer normalization", 2016, arXiv:1607.06450.
"""

from typing import Any, NamedTuple

from xpbptt.cells.activations import sigmoid
from xpbptt.cells.cell import Cell
from xpbptt.cells.layer_norm import normalised, normalised_backward
from xpbptt.cells.lstm import Gates, State


class Own(NamedTuple):
    """The gains less one of u, of v and of c', and the biases, (H,) each."""

    gain_u_i: Any
    gain_u_f: Any
    gain_u_g: Any
    gain_u_o: Any
    gain_v_i: Any
    gain_v_f: Any
    gain_v_g: Any
    gain_v_o: Any
    bias_i: Any
    bias_f: Any
    bias_g: Any
    bias_o: Any
    gain_c: Any
    bias_c: Any


class Residuals(NamedTuple):
    """The gates, then of u, of v and of c' what is normalised and its scale; and tanh of (4)."""

    i: Any
    f: Any
    g: Any
    o: Any
    u_i: Any
    u_f: Any
    u_g: Any
    u_o: Any
    v_i: Any
    v_f: Any
    v_g: Any
    v_o: Any
    c: Any
    scale_u: Any
    scale_v: Any
    scale_c: Any
    t: Any


def forward(u: Gates, v: Gates, state: State, *, extra: Own, xp: Any) -> tuple[State, Residuals]:
    """Compute equations (1) to (4)."""
    normal_u, scale_u = normalised(u, xp=xp)
    normal_v, scale_v = normalised(v, xp=xp)
    rows = zip(normal_u, normal_v, extra[:4], extra[4:8], extra[8:12], strict=True)
    a = Gates(*(n + gain * n + m + eta * m + beta for n, m, gain, eta, beta in rows))
    i, f, o = sigmoid(a.i, xp=xp), sigmoid(a.f, xp=xp), sigmoid(a.o, xp=xp)
    g = xp.tanh(a.g)
    c = f * state.c + i * g
    (normal_c,), scale_c = normalised((c,), xp=xp)
    t = xp.tanh(normal_c + extra.gain_c * normal_c + extra.bias_c)
    kept = i, f, g, o, *normal_u, *normal_v, normal_c, scale_u, scale_v, scale_c, t
    return State(o * t, c), Residuals(*kept)


def backward(
    residuals: Residuals, state: State, new: State, dnew: State, *, extra: Own, xp: Any
) -> tuple[Gates, Gates, State, Own]:
    """Return the derivative of `forward`, from the last line to the first."""
    i, f, g, o = residuals[:4]
    normal_u, normal_v = residuals[4:8], residuals[8:12]
    _, _, _, _, *_, normal_c, scale_u, scale_v, scale_c, t = residuals
    da_c = dnew.h * o * (1 - t * t)
    (through,) = normalised_backward((normal_c,), scale_c, (da_c + extra.gain_c * da_c,), xp=xp)
    dc = dnew.c + through
    da = (
        dc * g * i * (1 - i),
        dc * state.c * f * (1 - f),
        dc * i * (1 - g * g),
        dnew.h * t * o * (1 - o),
    )
    on_u = [d + gain * d for d, gain in zip(da, extra[:4], strict=True)]
    on_v = [d + gain * d for d, gain in zip(da, extra[4:8], strict=True)]
    du = Gates(*normalised_backward(normal_u, scale_u, on_u, xp=xp))
    dv = Gates(*normalised_backward(normal_v, scale_v, on_v, xp=xp))
    gains_u = (d * n for d, n in zip(da, normal_u, strict=True))
    gains_v = (d * n for d, n in zip(da, normal_v, strict=True))
    dextra = *gains_u, *gains_v, *da, da_c * normal_c, da_c
    return du, dv, State(None, dc * f), Own(*dextra)


def own(hidden_size: int) -> Own:
    """Return the shapes of the gains and biases."""
    return Own(*[(hidden_size,)] * len(Own._fields))


LAYER_NORM_LSTM = Cell("LayerNormLSTM", Gates, State, forward, backward, extra=own)
