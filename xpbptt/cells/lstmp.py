"""The LSTM with projection: its output has fewer columns than its memory cell. Gates i f g o.

::

    i, f, o = σ(u + v) of each gate,  g = tanh(u_g + v_g)       (1)
    c' = f ∘ c + i ∘ g                                          (2)
    h' = W_hr (o ∘ tanh(c'))                                    (3)

with W_hr (P, H), which is the own parameter `weight_hr`, and W_hh (4·H, P). It is what
`torch.nn.LSTM` computes with ``proj_size=P``. The product in (3) makes it a `Recurrence`, which
runs eagerly, or in a scan on JAX.

References
----------
.. [1] H. Sak, A. Senior and F. Beaufays, "Long short-term memory recurrent neural network
   architectures for large scale acoustic modeling", Interspeech 2014.
"""

from typing import Any, NamedTuple

from xpbptt._arrays.once import once
from xpbptt._arrays.types import AnyArray, Arrays, Namespace
from xpbptt.cells import lstm
from xpbptt.cells.cell import Bound
from xpbptt.cells.elementwise import recurrence
from xpbptt.cells.recurrence import Recurrence, Weights, flat, join, transposed

PLAIN = recurrence(lstm.LSTM)


class Projection(NamedTuple):
    """The weight (P, H) from the LSTM's output to the state's."""

    weight_hr: Any


class Prepared(NamedTuple):
    """W_hhᵀ, b_hh and W_hrᵀ."""

    weight: AnyArray
    bias: AnyArray
    projection: AnyArray


class Residuals(NamedTuple):
    """The gates, and what is projected."""

    i: Any
    f: Any
    g: Any
    o: Any
    m: Any


def _shapes(columns: int, input_size: int, hidden_size: int) -> Weights:
    shapes: Weights = PLAIN.shapes(input_size, hidden_size)
    own = Projection((columns, hidden_size))
    return shapes._replace(weight_hh=(4 * hidden_size, columns), extra=own)


def _widths(columns: int, hidden_size: int) -> tuple[int, int]:
    return columns, hidden_size


def prepare(params: Weights, steps: int, *, xp: Namespace) -> Prepared:
    """Transpose W_hh and W_hr."""
    weights = (params.weight_hh, params.extra.weight_hr)
    weight, projection = (transposed(each, steps, xp=xp) for each in weights)
    return Prepared(weight, params.bias_hh, projection)


def step(
    weights: Prepared,
    u: lstm.Gates,
    state: lstm.State,
    *,
    xp: Namespace,
    factors: AnyArray = None,
) -> tuple[lstm.State, Residuals]:
    """Compute equations (1) to (3)."""
    read = state.h if factors is None else state.h * factors
    v = PLAIN.gates(read @ weights.weight + weights.bias)
    (m, c), gates = lstm.forward(u, v, state, xp=xp)
    return lstm.State(m @ weights.projection, c), Residuals(*gates, m)


def step_backward(
    params: Weights,
    residuals: Arrays,
    state: lstm.State,
    new: lstm.State,
    dnew: lstm.State,
    *,
    xp: Namespace,
    factors: AnyArray = None,
) -> tuple[Arrays, lstm.State]:
    """Return the derivative of `step`; the record is du, dh' and what is projected."""
    *gates, m = residuals
    dm = dnew.h @ params.extra.weight_hr
    du, _, dstate = lstm.backward(lstm.Gates(*gates), state, new, lstm.State(dm, dnew.c), xp=xp)
    block = join(du, xp=xp)
    dh = block @ params.weight_hh
    return (block, dnew.h, m), lstm.State(dh if factors is None else dh * factors, dstate.c)


def accumulate(
    params: Weights, x: AnyArray, states: Arrays, records: Arrays, *, xp: Namespace
) -> tuple[Weights, AnyArray]:
    """Return the gradients of the parameters and of the input, from all steps."""
    du, dh, m = (flat(each, xp=xp) for each in records)
    dbias = xp.sum(du, axis=0)
    dparams = Weights(
        weight_ih=du.T @ flat(x, xp=xp),
        weight_hh=du.T @ flat(states[0], xp=xp),
        bias_ih=dbias,
        bias_hh=xp.asarray(dbias, copy=True),
        extra=Projection(dh.T @ m),
    )
    return dparams, xp.reshape(du @ params.weight_ih, x.shape)


@once
def make_lstmp(columns: int) -> Recurrence:
    """Return the recurrence with so many columns P; an equal one for an equal number."""
    return PLAIN._replace(
        name="LSTMP",
        shapes=Bound(_shapes, columns),
        widths=Bound(_widths, columns),
        prepare=prepare,
        step=step,
        step_backward=step_backward,
        accumulate=accumulate,
        accumulate_each=None,
    )
