r"""The GRU of Cho et al. (2014), with the reset gate before the product, as in Keras.

The candidate n needs a second product inside the step, so it is a `Recurrence`, not a `Cell`. Gates
r z n, parameters those of `Weights`. The input is projected as in the GRU with the reset after the
product, u = W_ih x + b_ih. A step, and its derivative, in which a d in front is the gradient of the
loss by what follows:

.. math::

   r &= \sigma(u_r + W_{hr} h_{t-1} + b_{hr}) \\
   z &= \sigma(u_z + W_{hz} h_{t-1} + b_{hz}) \\
   n &= \tanh(u_n + W_{hn} (r \odot h_{t-1}) + b_{hn}) \\
   h_t &= n + z \odot (h_{t-1} - n)

.. math::

   \mathrm{d}u_n &= \mathrm{d}h_t \odot (1 - z) \odot (1 - n \odot n) \\
   \mathrm{d}u_z &= \mathrm{d}h_t \odot (h_{t-1} - n) \odot z \odot (1 - z) \\
   \mathrm{d}u_r &= W_{hn}^\top \mathrm{d}u_n \odot h_{t-1} \odot r \odot (1 - r) \\
   \mathrm{d}h_{t-1} &= \mathrm{d}h_t \odot z + W_{hn}^\top \mathrm{d}u_n \odot r
   + W_{hz}^\top \mathrm{d}u_z + W_{hr}^\top \mathrm{d}u_r

References
----------
.. [1] K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical
   machine translation", EMNLP 2014.
"""

from typing import NamedTuple

from xpbptt._arrays.types import AnyArray, Arrays, Namespace
from xpbptt.cells.activations import sigmoid
from xpbptt.cells.elementwise import recurrence
from xpbptt.cells.gru import GRU, Gates, State
from xpbptt.cells.recurrence import Weights, flat, transposed

RESET_AFTER = recurrence(GRU)


class Prepared(NamedTuple):
    """W_hhᵀ and b_hh: the blocks of r and z together, and the block of n."""

    weight_rz: AnyArray
    weight_n: AnyArray
    bias_rz: AnyArray
    bias_n: AnyArray


def prepare(params: Weights, steps: int, *, xp: Namespace) -> Prepared:
    """Split and transpose W_hh."""
    size = params.weight_hh.shape[1]
    weight, bias = params.weight_hh, params.bias_hh
    return Prepared(
        weight_rz=transposed(weight[: 2 * size, :], steps, xp=xp),
        weight_n=transposed(weight[2 * size :, :], steps, xp=xp),
        bias_rz=bias[: 2 * size],
        bias_n=bias[2 * size :],
    )


def step(
    weights: Prepared, u: Gates, state: State, *, xp: Namespace, factors: AnyArray = None
) -> tuple[State, Gates]:
    """Mix the old state with the candidate; the residuals are the gates."""
    (h,) = state
    size, read = h.shape[-1], h if factors is None else h * factors
    v = read @ weights.weight_rz + weights.bias_rz
    r = sigmoid(u.r + v[..., :size], xp=xp)
    z = sigmoid(u.z + v[..., size:], xp=xp)
    n = xp.tanh(u.n + (r * read) @ weights.weight_n + weights.bias_n)
    return State(n + z * (h - n)), Gates(r, z, n)


def step_backward(
    params: Weights,
    residuals: Arrays,
    state: State,
    new: State,
    dnew: State,
    *,
    xp: Namespace,
    factors: AnyArray = None,
) -> tuple[Arrays, State]:
    """Return the derivative of `step`; the record is the gates' gradient and r ∘ h."""
    r, z, n = residuals
    (h,), (dh,) = state, dnew
    size, read = h.shape[-1], h if factors is None else h * factors
    dn = dh * (1 - z) * (1 - n * n)
    dz = dh * (h - n) * z * (1 - z)
    drh = dn @ params.weight_hh[2 * size :, :]
    dr = drh * read * r * (1 - r)
    drz = xp.concat((dr, dz), axis=-1)
    dread = drh * r + drz @ params.weight_hh[: 2 * size, :]
    dh_before = dh * z + (dread if factors is None else dread * factors)
    return (xp.concat((drz, dn), axis=-1), r * read), State(dh_before)


def accumulate(
    params: Weights, x: AnyArray, states: Arrays, records: Arrays, *, xp: Namespace
) -> tuple[Weights, AnyArray]:
    """Return the gradients of the parameters and of the input, from all steps."""
    du, rh, h = (flat(array, xp=xp) for array in (*records, states[0]))
    size = h.shape[1]
    of_rz = du[:, : 2 * size].T @ h
    of_n = du[:, 2 * size :].T @ rh
    dparams = Weights(
        weight_ih=du.T @ flat(x, xp=xp),
        weight_hh=xp.concat((of_rz, of_n), axis=0),
        bias_ih=xp.sum(du, axis=0),
        bias_hh=xp.sum(du, axis=0),
    )
    return dparams, xp.reshape(du @ params.weight_ih, x.shape)


GRU_RESET_BEFORE = RESET_AFTER._replace(
    name="GRU-reset-before",
    prepare=prepare,
    step=step,
    step_backward=step_backward,
    accumulate=accumulate,
    accumulate_each=None,
)
