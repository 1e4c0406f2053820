"""Optimisers in the style of optax: pairs of pure functions over trees of parameters.

A tree may hold the parameters of several layers, as ``{"lstm": params, "readout": ...}``. Nothing
is modified in place, and nothing is read on the host: the step count is a Python int, or an array
if it was passed as one, as under ``jax.jit``.
"""

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, Generic, NamedTuple, Protocol

import array_api_compat

from xpbptt._arrays import check
from xpbptt._arrays.norms import clip
from xpbptt._arrays.tree import leaves, map_leaves
from xpbptt._arrays.types import AnyArray, MemoryT, MemoryT_co, Namespace, Tree, TreeT
from xpbptt._arrays.wide import narrowed, wide_dtype, widened


class OptimizerInit(Protocol[MemoryT_co]):
    """``params → state``."""

    def __call__(self, params: Tree) -> MemoryT_co:
        """Return the state before the first step."""


class OptimizerUpdate(Protocol[MemoryT]):
    """``grads, state, params → params, state``."""

    def __call__(self, grads: TreeT, state: MemoryT, params: TreeT) -> tuple[TreeT, MemoryT]:
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


class Optimizer(NamedTuple, Generic[MemoryT]):
    """An optimiser: two pure functions.

    Attributes
    ----------
    init : callable
        ``init(params) → state``.
    update : callable
        ``update(grads, state, params) → params, state``.
    """

    init: OptimizerInit[MemoryT]
    update: OptimizerUpdate[MemoryT]


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
    step : int or array ()
        The number of steps taken: an int on the host, or an array of integers if it came as one.
    mean, square : tree of arrays
        The decaying means of the gradients and of their squares, in the tree of the parameters;
        float32 where these are narrower.
    """

    step: Any
    mean: Tree
    square: Tree


def sgd(learning_rate: float, momentum: float = 0.0) -> Optimizer[SgdState]:
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
        If a setting is not a number or is out of range.

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
    settings = _Sgd(rate, decay)
    return Optimizer(settings.init, settings.update)


class _Sgd(NamedTuple):
    """The settings of `sgd`, and its functions, which can be pickled as methods."""

    rate: float
    decay: float

    def init(self, params: Tree) -> SgdState:
        xp = _one_namespace("params", params)
        return SgdState(map_leaves(xp.zeros_like, params) if self.decay else None)

    def update(self, grads: Tree, state: SgdState, params: Tree) -> tuple[Tree, SgdState]:
        rate, decay = self
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
    rate = _number("learning_rate", learning_rate, "at least 0", lambda value: value >= 0)
    beta1 = _number("beta1", beta1, "from 0 to below 1", lambda value: 0 <= value < 1)
    beta2 = _number("beta2", beta2, "from 0 to below 1", lambda value: 0 <= value < 1)
    epsilon = _number("epsilon", epsilon, "at least 0", lambda value: value >= 0)
    settings = _Adam(rate, beta1, beta2, epsilon)
    return Optimizer(settings.init, settings.update)


class _Adam(NamedTuple):
    """The settings of `adam`, and its functions."""

    rate: float
    beta1: float
    beta2: float
    epsilon: float

    def init(self, params: Tree) -> AdamState:
        xp = _one_namespace("params", params)

        def zeros(p: AnyArray) -> AnyArray:
            return xp.zeros_like(p, dtype=wide_dtype(p.dtype, xp=xp))

        return AdamState(0, map_leaves(zeros, params), map_leaves(zeros, params))

    def update(self, grads: Tree, state: AdamState, params: Tree) -> tuple[Tree, AdamState]:
        rate, beta1, beta2, epsilon = self
        _check_state(state, AdamState)
        moments = {"state.mean": state.mean, "state.square": state.square}
        xp = _check_update(grads, params, moments, wide=True)
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


def clip_by_global_norm(grads: TreeT, max_norm: float) -> tuple[TreeT, AnyArray]:
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
    """Return `value` as a Python float, which promotes no dtype; refuse it unless it `holds`."""
    if isinstance(value, bool) or not isinstance(value, Real):
        message = f"`{name}` must be a number, got {type(value).__name__}"
        raise TypeError(message)
    number = float(value)
    if not math.isfinite(number) or not holds(number):
        message = f"`{name}` must be a finite number {expected}, got {number}"
        raise ValueError(message)
    return number


def _one_namespace(name: str, tree: Tree, others: dict[str, Tree] | None = None) -> Namespace:
    """Return the namespace of the leaves of `tree` and `others`; refuse a `tree` without any."""
    named = list(leaves(tree, name))
    if not named:
        message = f"`{name}` holds no arrays: pass the tree of the arrays to train"
        raise ValueError(message)
    for other_name, other in (others or {}).items():
        named.extend(leaves(other, other_name))
    return check.one_namespace(named)


def _check_state(state: object, kind: type) -> None:
    if not isinstance(state, kind):
        message = (
            f"`state` must be the {kind.__name__} that this optimiser's `init` or `update` "
            f"returned, got {type(state).__name__}"
        )
        raise TypeError(message)


def _check_update(
    grads: Tree, params: Tree, moments: dict[str, Tree], *, wide: bool = False
) -> Namespace:
    """Check that all trees are like `params`, and return their namespace.

    Where `wide` is true, the moments have the wide dtype of the parameters.
    """
    xp = _one_namespace("params", params, {"grads": grads})
    name, like = next(leaves(params, "params"))
    if wide and wide_dtype(like.dtype, xp=xp) != like.dtype:
        name, like = f"{name} in single precision", widened(like, xp=xp)
    in_moments = (found for path, tree in moments.items() for found in leaves(tree, path))
    check.one_namespace([(name, like), *in_moments])
    for path, tree in {"grads": grads, **moments}.items():
        check.same_structure(path, tree, "params", params)
    return xp


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
