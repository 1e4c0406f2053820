"""The closed-form continuous-time cell (CfC): it moves from one head to another as time passes.

::

    f = tanh(u_f + v_f),  g = tanh(u_g + v_g)             (1)
    τ = σ((u_a + v_a) ∘ Δt + u_b + v_b)                   (2)
    h' = (1 - τ) ∘ f + τ ∘ g                              (3)

Δt is the time since the step before: a side input, ``forward(params, x, dt=dt)`` with dt (T, B).
This is the cell of [1]_ as its authors' library ncps has it, in the mode "default" and without
layers of a backbone between the input and the gates; there, too, the sign of the time is left to
the weights. Gates f g a b.

References
----------
.. [1] R. Hasani et al., "Closed-form continuous-time neural networks", Nature Machine Intelligence
   4, 2022.
"""

from typing import Any, NamedTuple

from xpbptt.cells.activations import sigmoid
from xpbptt.cells.cell import Cell
from xpbptt.cells.gru import State


class Gates(NamedTuple):
    """The heads f and g, and the slope a and the start b of the time."""

    f: Any
    g: Any
    a: Any
    b: Any


class Residuals(NamedTuple):
    """The heads, the share τ of the second one, and the slope of the time."""

    f: Any
    g: Any
    t: Any
    a: Any


def forward(
    u: Gates, v: Gates, state: State, *, dt: tuple[Any], xp: Any
) -> tuple[State, Residuals]:
    """Compute equations (1) to (3)."""
    (elapsed,) = dt
    f = xp.tanh(u.f + v.f)
    g = xp.tanh(u.g + v.g)
    a = u.a + v.a
    t = sigmoid(a * elapsed + u.b + v.b, xp=xp)
    return State(f + t * (g - f)), Residuals(f, g, t, a)


def backward(
    residuals: Residuals, state: State, new: State, dnew: State, *, dt: tuple[Any], xp: Any
) -> tuple[Gates, Gates, State, tuple[Any]]:
    """Return the derivative of `forward`."""
    (elapsed,) = dt
    f, g, t, a = residuals
    df = dnew.h * (1 - t) * (1 - f * f)
    dg = dnew.h * t * (1 - g * g)
    db = dnew.h * (g - f) * t * (1 - t)
    du = Gates(df, dg, db * elapsed, db)
    return du, du, State(None), (xp.sum(db * a, axis=-1, keepdims=True),)


CFC = Cell("CfC", Gates, State, forward, backward, side=1)
