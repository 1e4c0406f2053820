"""The leaky echo-state unit: an Elman net that moves a part of the way only. One gate a.

::

    h' = (1 - α) h + α tanh(u_a + v_a)        (1)

α is the leaking rate [1]_. In an echo-state net the weights stay as they are drawn, W_hh scaled
to a spectral radius, and only the readout is trained; here their gradients are there, too.

References
----------
.. [1] H. Jaeger, M. Lukoševičius, D. Popovici and U. Siewert, "Optimization and applications of
   echo state networks with leaky-integrator neurons", Neural Networks 20, 2007.
"""

from typing import Any

from xpbptt._arrays.once import once
from xpbptt.cells.cell import Bound, Cell
from xpbptt.cells.rnn import Gates, State


def forward(
    leak: float, u: Gates, v: Gates, state: State, *, xp: Any
) -> tuple[State, tuple[Any, ...]]:
    """Compute equation (1)."""
    t = xp.tanh(u.a + v.a)
    return State((1 - leak) * state.h + leak * t), (t,)


def backward(
    leak: float, residuals: tuple[Any, ...], state: State, new: State, dnew: State, *, xp: Any
) -> tuple[Gates, Gates, State]:
    """Return the derivative of `forward`."""
    (t,) = residuals
    da = Gates(leak * dnew.h * (1 - t * t))
    return da, da, State((1 - leak) * dnew.h)


@once
def make_leaky_esn(leak: float) -> Cell:
    """Return the cell with a leaking rate; an equal one for an equal rate."""
    return Cell("LeakyESN", Gates, State, Bound(forward, leak), Bound(backward, leak))
