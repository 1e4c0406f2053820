"""Optimisers in the style of optax: pairs of pure functions over trees of parameters.

A tree may hold the parameters of several layers, as ``{"lstm": params, "readout": ...}``. Nothing
is modified in place, and nothing is read on the host: the step count is a Python int.
"""

import math
from collections.abc import Callable
from numbers import Real
from typing import Any, NamedTuple, Protocol

from xpbptt import _check
from xpbptt._norms import clip
from xpbptt._tree import leaves, map_leaves

Array = Any
Namespace = Any
Tree = Any


class OptimizerInit(Protocol):
    """``params → state``."""

    def __call__(self, params: Tree) -> Any:
        """Return the state before the first step."""


class OptimizerUpdate(Protocol):
    """``grads, state, params → params, state``."""

    def __call__(self, grads: Tree, state: Any, params: Tree) -> tuple[Tree, Any]:
        """Return the parameters and the state after one step.

        Parameters
        ----------
        grads : tree of arrays
            The gradients, in the tree of the parameters.
        state : named tuple
            What `init` or the step before returned.
        params : tree of arrays
            The parameters.

        Returns
        -------
        params : tree of arrays
            New parameters.
        state : named tuple
            The new state.

        Raises
        ------
        TypeError, ValueError
            If the trees differ in structure, shapes, dtype, library or device, or the state is
            another optimiser's.
        """


class Optimizer(NamedTuple):
    """An optimiser: two pure functions.

    Attributes
    ----------
    init : callable
        ``init(params) → state``.
    update : callable
        ``update(grads, state, params) → params, state``.
    """

    init: OptimizerInit
    update: OptimizerUpdate


class SgdState(NamedTuple):
    """The state of `sgd`.

    Attributes
    ----------
    velocity : tree of arrays or None
        The decaying sum of the gradients, in the tree of the parameters; None without momentum.
    """

    velocity: Tree


class AdamState(NamedTuple):
    """The state of `adam`.

    Attributes
    ----------
    step : int
        The number of steps taken, on the host.
    mean, square : tree of arrays
        The decaying means of the gradients and of their squares, in the tree of the parameters.
    """

    step: int
    mean: Tree
    square: Tree


def sgd(learning_rate: float, momentum: float = 0.0) -> Optimizer:
    """Make an optimiser by stochastic gradient descent, with the meaning of ``torch.optim.SGD``.

    Parameters
    ----------
    learning_rate : float
        The length η of a step, at least 0.
    momentum : float
        The share μ of the velocity that stays from step to step, from 0 to below 1.

    Returns
    -------
    optimizer : Optimizer
        Its state is an `SgdState`.

    Raises
    ------
    TypeError, ValueError
        If a setting is no number or is out of range.

    Notes
    -----
    v ← μ v + g, then p ← p - η v, with v = 0 at first [1]_.

    References
    ----------
    .. [1] I. Sutskever, J. Martens, G. Dahl and G. Hinton, "On the importance of initialization
       and momentum in deep learning", ICML 2013, with the learning rate outside the velocity.

    Examples
    --------
    >>> import numpy as np
    >>> from xpbptt.optim import sgd
    >>> optimizer = sgd(learning_rate=0.5)
    >>> params = {"w": np.asarray([1.0, 2.0])}
    >>> state = optimizer.init(params)
    >>> params, state = optimizer.update({"w": np.asarray([2.0, 0.0])}, state, params)
    >>> params["w"].tolist()
    [0.0, 2.0]
    """
    rate = _number("learning_rate", learning_rate, "at least 0", lambda value: value >= 0)
    decay = _number("momentum", momentum, "from 0 to below 1", lambda value: 0 <= value < 1)

    def init(params: Tree) -> SgdState:
        xp = _one_namespace("params", params)
        return SgdState(map_leaves(xp.zeros_like, params) if decay else None)

    def update(grads: Tree, state: SgdState, params: Tree) -> tuple[Tree, SgdState]:
        _check_state(state, SgdState)
        if (state.velocity is None) == bool(decay):
            came, wanted = ("without", "with") if decay else ("with", "without")
            message = f"`state` is one {came} momentum, but this optimiser is {wanted} momentum"
            raise ValueError(message)
        moments = {"state.velocity": state.velocity} if decay else {}
        xp = _check_update(grads, params, moments)
        velocity = grads
        if decay:
            velocity = map_leaves(lambda v, g: xp.asarray(decay * v + g), state.velocity, grads)
        params = map_leaves(lambda p, v: xp.asarray(p - rate * v), params, velocity)
        return params, SgdState(velocity if decay else None)

    return Optimizer(init, update)


def adam(
    learning_rate: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
) -> Optimizer:
    """Make an optimiser by adaptive moments, with the meaning of ``torch.optim.Adam``.

    Parameters
    ----------
    learning_rate : float
        The length η of a step, at least 0.
    beta1, beta2 : float
        The shares of the mean of the gradients and of their squares that stay from step to step,
        from 0 to below 1.
    epsilon : float
        What keeps the quotient finite, at least 0.

    Returns
    -------
    optimizer : Optimizer
        Its state is an `AdamState`.

    Raises
    ------
    TypeError, ValueError
        If a setting is no number or is out of range.

    Notes
    -----
    At step t, from 1: m ← β₁ m + (1 - β₁) g and s ← β₂ s + (1 - β₂) g², then
    p ← p - η m̂ / (√ŝ + ε) with m̂ = m / (1 - β₁ᵗ) and ŝ = s / (1 - β₂ᵗ) [1]_.

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
    rate = _number("learning_rate", learning_rate, "at least 0", lambda value: value >= 0)
    beta1 = _number("beta1", beta1, "from 0 to below 1", lambda value: 0 <= value < 1)
    beta2 = _number("beta2", beta2, "from 0 to below 1", lambda value: 0 <= value < 1)
    epsilon = _number("epsilon", epsilon, "at least 0", lambda value: value >= 0)

    def init(params: Tree) -> AdamState:
        xp = _one_namespace("params", params)
        return AdamState(0, map_leaves(xp.zeros_like, params), map_leaves(xp.zeros_like, params))

    def update(grads: Tree, state: AdamState, params: Tree) -> tuple[Tree, AdamState]:
        _check_state(state, AdamState)
        moments = {"state.mean": state.mean, "state.square": state.square}
        xp = _check_update(grads, params, moments)
        step = state.step + 1
        step_size = rate / (1 - beta1**step)
        root = math.sqrt(1 - beta2**step)

        def next_mean(m: Array, g: Array) -> Array:
            return xp.asarray(beta1 * m + (1 - beta1) * g)

        def next_square(s: Array, g: Array) -> Array:
            return xp.asarray(beta2 * s + (1 - beta2) * (g * g))

        def next_param(p: Array, m: Array, s: Array) -> Array:
            return xp.asarray(p - step_size * m / (xp.sqrt(s) / root + epsilon))

        mean = map_leaves(next_mean, state.mean, grads)
        square = map_leaves(next_square, state.square, grads)
        return map_leaves(next_param, params, mean, square), AdamState(step, mean, square)

    return Optimizer(init, update)


def clip_by_global_norm(grads: Tree, max_norm: float) -> tuple[Tree, Array]:
    """Scale all gradients down together so that their norm is at most `max_norm`.

    Parameters
    ----------
    grads : tree of arrays
        The gradients.
    max_norm : float
        The largest norm that is left alone, above 0.

    Returns
    -------
    clipped : tree of arrays
        The gradients times min(1, max_norm / norm), of the same dtype.
    norm : array ()
        The Euclidean norm of all elements together, before clipping.

    Raises
    ------
    TypeError, ValueError
        If the gradients differ in dtype, library or device, or `max_norm` is not above 0.

    Notes
    -----
    See [1]_. The squares are taken relative to the largest element, so that no finite gradient
    overflows on the way. If any is infinite or NaN, so are the norm and what is clipped.

    References
    ----------
    .. [1] R. Pascanu, T. Mikolov and Y. Bengio, "On the difficulty of training recurrent neural
       networks", ICML 2013, algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> from xpbptt.optim import clip_by_global_norm
    >>> grads = {"w": np.asarray([3.0, 0.0]), "b": np.asarray([4.0])}
    >>> clipped, norm = clip_by_global_norm(grads, max_norm=1.0)
    >>> float(norm), clipped["b"].round(6).tolist()
    (5.0, [0.8])
    """
    limit = _number("max_norm", max_norm, "above 0", lambda value: value > 0)
    xp = _one_namespace("grads", grads)
    clipped, norm = clip([leaf for _, leaf in leaves(grads)], limit, xp=xp)
    each = iter(clipped)
    return map_leaves(lambda _: xp.asarray(next(each)), grads), xp.asarray(norm)


def _number(name: str, value: object, expected: str, holds: Callable[[float], bool]) -> float:
    """Return `value` as a Python float, which promotes no dtype, if it is as `expected`."""
    if isinstance(value, bool) or not isinstance(value, Real):
        message = f"`{name}` must be a number, got {type(value).__name__}"
        raise TypeError(message)
    number = float(value)
    if not math.isfinite(number) or not holds(number):
        message = f"`{name}` must be a finite number {expected}, got {number}"
        raise ValueError(message)
    return number


def _one_namespace(name: str, tree: Tree, others: dict[str, Tree] | None = None) -> Namespace:
    """Return the namespace of the leaves of `tree`, which has some, and of `others`."""
    named = list(leaves(tree, name))
    if not named:
        message = f"`{name}` holds no arrays: pass the tree of what is to be trained"
        raise ValueError(message)
    for other_name, other in (others or {}).items():
        named.extend(leaves(other, other_name))
    return _check.one_namespace(named)


def _check_state(state: object, kind: type) -> None:
    if not isinstance(state, kind):
        message = (
            f"`state` must be the {kind.__name__} that this optimiser's `init` or `update` "
            f"returned, got {type(state).__name__}"
        )
        raise TypeError(message)


def _check_update(grads: Tree, params: Tree, moments: dict[str, Tree]) -> Namespace:
    """Check that all trees are like `params`, and return their namespace."""
    others = {"grads": grads, **moments}
    xp = _one_namespace("params", params, others)
    for name, tree in others.items():
        _check.same_structure(name, tree, "params", params)
    return xp
