"""What an optimiser is, and the checks of what it is given."""

import math
from collections.abc import Callable
from numbers import Real
from typing import Generic, NamedTuple, Protocol

from xpbptt._arrays import check
from xpbptt._arrays.tree import leaves
from xpbptt._arrays.types import MemoryT, MemoryT_co, Namespace, Tree, TreeT
from xpbptt._arrays.wide import wide_dtype, widened


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


def number(name: str, value: object, expected: str, holds: Callable[[float], bool]) -> float:
    """Return `value` as a Python float, which promotes no dtype; refuse it unless it `holds`."""
    if isinstance(value, bool) or not isinstance(value, Real):
        message = f"`{name}` must be a number, got {type(value).__name__}"
        raise TypeError(message)
    number = float(value)
    if not math.isfinite(number) or not holds(number):
        message = f"`{name}` must be a finite number {expected}, got {number}"
        raise ValueError(message)
    return number


def one_namespace(name: str, tree: Tree, others: dict[str, Tree] | None = None) -> Namespace:
    """Return the namespace of the leaves of `tree` and `others`; refuse a `tree` without any."""
    named = list(leaves(tree, name))
    if not named:
        message = f"`{name}` holds no arrays: pass the tree of the arrays to train"
        raise ValueError(message)
    for other_name, other in (others or {}).items():
        named.extend(leaves(other, other_name))
    return check.one_namespace(named)


def check_state(state: object, kind: type) -> None:
    """Refuse a state that is not of a kind."""
    if not isinstance(state, kind):
        message = (
            f"`state` must be the {kind.__name__} that this optimiser's `init` or `update` "
            f"returned, got {type(state).__name__}"
        )
        raise TypeError(message)


def check_update(
    grads: Tree, params: Tree, moments: dict[str, Tree], *, wide: bool = False
) -> Namespace:
    """Check that all trees are like `params`, and return their namespace.

    Where `wide` is true, the moments have the wide dtype of the parameters.
    """
    xp = one_namespace("params", params, {"grads": grads})
    name, like = next(leaves(params, "params"))
    if wide and wide_dtype(like.dtype, xp=xp) != like.dtype:
        name, like = f"{name} in single precision", widened(like, xp=xp)
    in_moments = (found for path, tree in moments.items() for found in leaves(tree, path))
    check.one_namespace([(name, like), *in_moments])
    for path, tree in {"grads": grads, **moments}.items():
        check.same_structure(path, tree, "params", params)
    return xp
