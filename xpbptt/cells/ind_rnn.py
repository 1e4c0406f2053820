"""The independently recurrent net: each unit sees its own past only. One gate a.

::

    h' = max(u_a + w ∘ h, 0)          (1)

For T steps [1]_ keeps the magnitude of w below the T-th root of 2.

References
----------
.. [1] S. Li, W. Li, C. Cook, C. Zhu and Y. Gao, "Independently recurrent neural network (IndRNN):
   building a longer and deeper RNN", CVPR 2018.
"""

from typing import Any, NamedTuple

from xpbptt.cells.cell import Cell
from xpbptt.cells.rnn import Gates, State


class Own(NamedTuple):
    """The weight (H,) of each unit's past."""

    w: Any


def forward(
    u: Gates, v: Gates, state: State, *, extra: Own, xp: Any
) -> tuple[State, tuple[Any, ...]]:
    """Compute equation (1)."""
    a = u.a + extra.w * state.h
    return State(xp.maximum(a, xp.zeros_like(a))), ()


def backward(
    residuals: tuple[Any, ...], state: State, new: State, dnew: State, *, extra: Own, xp: Any
) -> tuple[Gates, None, State, Own]:
    """Return the derivative of `forward`."""
    da = xp.where(new.h > 0, dnew.h, xp.zeros_like(dnew.h))
    return Gates(da), None, State(da * extra.w), Own(da * state.h)


def own(hidden_size: int) -> Own:
    """Return the shape of w."""
    return Own((hidden_size,))


IND_RNN = Cell("IndRNN", Gates, State, forward, backward, extra=own, recurrent=())
