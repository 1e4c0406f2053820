"""The leaky integrate-and-fire neuron, with a surrogate for the derivative of its spikes.

::

    m' = β m + u_a - ϑ s                              (1)
    s' = 1 where m' > ϑ, else 0                       (2)

    ds'/dm' := 1 / (1 + k |m' - ϑ|)²                  (3)

m is the membrane's potential, s the spike, which is the output, and ϑ the threshold, by which a
spike lowers the potential one step later. (3) stands for the derivative of (2), which is zero
almost everywhere [1]_ [2]_. The gradient passes the reset, too; snnTorch cuts it there.

`smooth` is the forward pass whose derivative (3) is, ``s' = x / (1 + k |x|)`` with x = m' - ϑ:
``check_gradients(..., smooth=smoothed(net.cell))`` differentiates it.

References
----------
.. [1] F. Zenke and S. Ganguli, "SuperSpike: supervised learning in multilayer spiking neural
   networks", Neural Computation 30, 2018.
.. [2] E. O. Neftci, H. Mostafa and F. Zenke, "Surrogate gradient learning in spiking neural
   networks", IEEE Signal Processing Magazine 36, 2019.
"""

from typing import Any, NamedTuple

from xpbptt._arrays.once import once
from xpbptt.cells.cell import Bound, Cell
from xpbptt.cells.rnn import Gates


class State(NamedTuple):
    """The spike s, which is the output, and the potential m."""

    s: Any
    m: Any


class Neuron(NamedTuple):
    """The decay β, threshold ϑ and slope k."""

    beta: float
    threshold: float
    slope: float


def forward(
    of: Neuron, u: Gates, v: Gates, state: State, *, xp: Any
) -> tuple[State, tuple[Any, ...]]:
    """Compute equations (1) and (2)."""
    m = of.beta * state.m + u.a - of.threshold * state.s
    return State(xp.where(m > of.threshold, xp.ones_like(m), xp.zeros_like(m)), m), ()


def smooth(
    of: Neuron, u: Gates, v: Gates, state: State, *, xp: Any
) -> tuple[State, tuple[Any, ...]]:
    """Compute equation (1), and a spike whose derivative is (3)."""
    m = of.beta * state.m + u.a - of.threshold * state.s
    x = m - of.threshold
    return State(x / (1 + of.slope * xp.abs(x)), m), ()


def backward(
    of: Neuron, residuals: tuple[Any, ...], state: State, new: State, dnew: State, *, xp: Any
) -> tuple[Gates, None, State]:
    """Return the derivative, with (3) for that of (2)."""
    near = 1 + of.slope * xp.abs(new.m - of.threshold)
    dm = dnew.m + dnew.s / (near * near)
    return Gates(dm), None, State(-of.threshold * dm, of.beta * dm)


@once
def make_lif(beta: float, threshold: float, slope: float) -> Cell:
    """Return the cell of a neuron; an equal one for an equal neuron."""
    of = Neuron(beta, threshold, slope)
    return Cell("LIF", Gates, State, Bound(forward, of), Bound(backward, of), recurrent=())


def smoothed(cell: Cell) -> Any:
    """Return the smooth forward pass of a neuron's cell."""
    forward_: Any = cell.forward
    return Bound(smooth, *forward_.args)
