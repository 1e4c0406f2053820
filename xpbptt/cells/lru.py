"""The linear recurrent unit: a diagonal complex recurrence, as two real parts. Gates re im.

::

    λ = exp(-exp(ν) + i exp(θ)) = a + i b                 (1)
    re' = a ∘ re - b ∘ im + exp(γ) ∘ u_re                 (2)
    im' = b ∘ re + a ∘ im + exp(γ) ∘ u_im                 (3)
    h' = c_re ∘ re' - c_im ∘ im'                          (4)

u_re and u_im are the real and imaginary part of B x. In [1]_ the output is read by a full
complex matrix, Re(C h) + D x: here C is diagonal, as a full one is a layer above, and D x is
left to it. The paper draws the square r of the magnitude of λ uniformly between those of two
radii, so that ν = log(-½ log r), θ as the logarithm of a uniform phase, and has γ = ½ log(1 -
r).

References
----------
.. [1] A. Orvieto et al., "Resurrecting recurrent neural networks for long sequences", ICML 2023.
"""

from typing import Any, NamedTuple

from xpbptt.cells.cell import Cell


class Gates(NamedTuple):
    """The real and the imaginary part of the input."""

    re: Any
    im: Any


class State(NamedTuple):
    """The output h, and the real and the imaginary part of the state."""

    h: Any
    re: Any
    im: Any


class Own(NamedTuple):
    """The parameters (H,) of (1), the logarithm of the input's scale, and the readout."""

    nu: Any
    theta: Any
    gamma: Any
    c_re: Any
    c_im: Any


def forward(u: Gates, v: Gates, state: State, *, extra: Own, xp: Any) -> tuple[State, Gates]:
    """Compute equations (1) to (4)."""
    a, b = _eigenvalue(extra, xp=xp)
    scale = xp.exp(extra.gamma)
    re = a * state.re - b * state.im + scale * u.re
    im = b * state.re + a * state.im + scale * u.im
    return State(extra.c_re * re - extra.c_im * im, re, im), Gates(u.re, u.im)


def backward(
    residuals: Gates, state: State, new: State, dnew: State, *, extra: Own, xp: Any
) -> tuple[Gates, None, State, Own]:
    """Return the derivative of `forward`."""
    u_re, u_im = residuals
    a, b = _eigenvalue(extra, xp=xp)
    scale = xp.exp(extra.gamma)
    dre = dnew.re + dnew.h * extra.c_re
    dim = dnew.im - dnew.h * extra.c_im
    da = dre * state.re + dim * state.im
    db = dim * state.re - dre * state.im
    dextra = Own(
        nu=-xp.exp(extra.nu) * (a * da + b * db),
        theta=xp.exp(extra.theta) * (a * db - b * da),
        gamma=scale * (dre * u_re + dim * u_im),
        c_re=dnew.h * new.re,
        c_im=-dnew.h * new.im,
    )
    dpast = State(None, a * dre + b * dim, a * dim - b * dre)
    return Gates(scale * dre, scale * dim), None, dpast, dextra


def _eigenvalue(extra: Own, *, xp: Any) -> tuple[Any, Any]:
    size, phase = xp.exp(-xp.exp(extra.nu)), xp.exp(extra.theta)
    return size * xp.cos(phase), size * xp.sin(phase)


def own(hidden_size: int) -> Own:
    """Return the shapes of the parameters."""
    return Own(*[(hidden_size,)] * len(Own._fields))


LRU = Cell("LRU", Gates, State, forward, backward, extra=own, recurrent=())
