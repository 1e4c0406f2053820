"""Adam: steps by the decaying means of the gradients and of their squares."""

import math
from numbers import Integral
from typing import Any, NamedTuple

import array_api_compat

from xpbptt._arrays import check
from xpbptt._arrays.tree import leaves, map_leaves
from xpbptt._arrays.types import AnyArray, Namespace, Tree
from xpbptt._arrays.wide import narrowed, wide_dtype, widened
from xpbptt.optim.optimizer import Optimizer, check_state, check_update, number, one_namespace


class AdamState(NamedTuple):
    """The state of `adam`.

    Attributes
    ----------
    step : int or array ()
        The number of steps taken: an int on the host, or an array of integers if it came as one.
    mean, square : tree of arrays
        The decaying means of the gradients and of their squares, in the tree of the parameters;
        float32 where these are narrower.
    """

    step: Any
    mean: Tree
    square: Tree


def adam(
    learning_rate: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
) -> Optimizer[AdamState]:
    """Make an optimiser by adaptive moments, with the meaning of ``torch.optim.Adam``.

    Parameters
    ----------
    learning_rate : float
        The length η of a step, at least 0.
    beta1, beta2 : float
        The shares of the mean of the gradients and of their squares that stay from step to step,
        from 0 to below 1.
    epsilon : float
        Added to the denominator to keep the quotient finite, at least 0.

    Returns
    -------
    optimizer : Optimizer
        Its state is an `AdamState`.

    Raises
    ------
    TypeError, ValueError
        If a setting is not a number or is out of range.

    Notes
    -----
    At step t, from 1: m ← β₁ m + (1 - β₁) g and s ← β₂ s + (1 - β₂) g², then
    p ← p - η m̂ / (√ŝ + ε) with m̂ = m / (1 - β₁ᵗ) and ŝ = s / (1 - β₂ᵗ) [1]_.

    Parameters narrower than float32 have their moments in float32, where a step is computed, too:
    in float16 the default ε is 0, and so is the square of any gradient below 2e-4. Only the new
    parameter is rounded, so steps below half a unit in its last place are lost; where they matter
    keep the parameters in float32 and hand the net a copy in half precision.

    References
    ----------
    .. [1] D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015,
       algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> from xpbptt.optim import adam
    >>> optimizer = adam(learning_rate=0.5)
    >>> params = (np.asarray([1.0, 2.0]),)
    >>> state = optimizer.init(params)
    >>> params, state = optimizer.update((np.asarray([3.0, 0.0]),), state, params)
    >>> params[0].round(6).tolist(), state.step
    ([0.5, 2.0], 1)
    """
    rate = number("learning_rate", learning_rate, "at least 0", lambda value: value >= 0)
    beta1 = number("beta1", beta1, "from 0 to below 1", lambda value: 0 <= value < 1)
    beta2 = number("beta2", beta2, "from 0 to below 1", lambda value: 0 <= value < 1)
    epsilon = number("epsilon", epsilon, "at least 0", lambda value: value >= 0)
    settings = _Adam(rate, beta1, beta2, epsilon)
    return Optimizer(settings.init, settings.update)


class _Adam(NamedTuple):
    """The settings of `adam`, and its functions."""

    rate: float
    beta1: float
    beta2: float
    epsilon: float

    def init(self, params: Tree) -> AdamState:
        xp = one_namespace("params", params)

        def zeros(p: AnyArray) -> AnyArray:
            return xp.zeros_like(p, dtype=wide_dtype(p.dtype, xp=xp))

        return AdamState(0, map_leaves(zeros, params), map_leaves(zeros, params))

    def update(self, grads: Tree, state: AdamState, params: Tree) -> tuple[Tree, AdamState]:
        rate, beta1, beta2, epsilon = self
        check_state(state, AdamState)
        moments = {"state.mean": state.mean, "state.square": state.square}
        xp = check_update(grads, params, moments, wide=True)
        step = _next_step(state.step, params, xp=xp)
        step_size = rate / _gathered(beta1, step, params, xp=xp)
        root = _gathered(beta2, step, params, xp=xp) ** 0.5

        def next_mean(m: AnyArray, g: AnyArray) -> AnyArray:
            return xp.asarray(beta1 * m + (1 - beta1) * widened(g, xp=xp))

        def next_square(s: AnyArray, g: AnyArray) -> AnyArray:
            g = widened(g, xp=xp)
            return xp.asarray(beta2 * s + (1 - beta2) * (g * g))

        def next_param(p: AnyArray, m: AnyArray, s: AnyArray) -> AnyArray:
            moved = widened(p, xp=xp) - step_size * m / (xp.sqrt(s) / root + epsilon)
            return narrowed(moved, p.dtype, xp=xp)

        mean = map_leaves(next_mean, state.mean, grads)
        square = map_leaves(next_square, state.square, grads)
        return map_leaves(next_param, params, mean, square), AdamState(step, mean, square)


def _next_step(step: Any, params: Tree, *, xp: Namespace) -> Any:
    """Return the count of the next step, an int or an array like `step`."""
    if isinstance(step, Integral) or not array_api_compat.is_array_api_obj(step):
        check.whole("state.step", step, at_least=0)
        return int(step) + 1
    name, like = next(leaves(params, "params"))
    check.beside("state.step", step, name, like, kind="integral", xp=xp)
    check.shape("state.step", step, (), "one count")
    return xp.asarray(step + 1)


def _gathered(beta: float, step: Any, params: Tree, *, xp: Namespace) -> Any:
    """Return 1 - βᵗ, the total weight of a decaying mean after t steps; a float for an int."""
    if isinstance(step, int):
        return 1 - beta**step
    _, like = next(leaves(params, "params"))
    count = xp.astype(step, wide_dtype(like.dtype, xp=xp))
    return -xp.expm1(count * math.log(beta)) if beta else xp.ones_like(count)
