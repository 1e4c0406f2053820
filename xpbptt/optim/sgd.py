"""Stochastic gradient descent, with momentum."""

from typing import NamedTuple

from xpbptt._arrays.tree import map_leaves
from xpbptt._arrays.types import Tree
from xpbptt.optim.optimizer import Optimizer, check_state, check_update, number, one_namespace


class SgdState(NamedTuple):
    """The state of `sgd`.

    Attributes
    ----------
    velocity : tree of arrays or None
        The decaying sum of the gradients, in the tree of the parameters; None without momentum.
    """

    velocity: Tree


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
    rate = number("learning_rate", learning_rate, "at least 0", lambda value: value >= 0)
    decay = number("momentum", momentum, "from 0 to below 1", lambda value: 0 <= value < 1)
    settings = _Sgd(rate, decay)
    return Optimizer(settings.init, settings.update)


class _Sgd(NamedTuple):
    """The settings of `sgd`, and its functions, which can be pickled as methods."""

    rate: float
    decay: float

    def init(self, params: Tree) -> SgdState:
        xp = one_namespace("params", params)
        return SgdState(map_leaves(xp.zeros_like, params) if self.decay else None)

    def update(self, grads: Tree, state: SgdState, params: Tree) -> tuple[Tree, SgdState]:
        rate, decay = self
        check_state(state, SgdState)
        if (state.velocity is None) == bool(decay):
            came, wanted = ("without", "with") if decay else ("with", "without")
            message = f"`state` is one {came} momentum, but this optimiser is {wanted} momentum"
            raise ValueError(message)
        moments = {"state.velocity": state.velocity} if decay else {}
        xp = check_update(grads, params, moments)
        velocity = grads
        if decay:
            velocity = map_leaves(lambda v, g: xp.asarray(decay * v + g), state.velocity, grads)
        params = map_leaves(lambda p, v: xp.asarray(p - rate * v), params, velocity)
        return params, SgdState(velocity if decay else None)
