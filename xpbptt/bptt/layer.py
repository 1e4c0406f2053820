"""What a layer is: functions over whole sequences, which combinators put together.

The functions of a layer check nothing: a net does so once, before it calls them.
"""

from typing import Any, NamedTuple, Protocol

from xpbptt.bptt.strategies import Plan

Array = Any
Namespace = Any
Tree = Any


class Gradients(NamedTuple):
    """The gradients that a backward pass returns.

    Attributes
    ----------
    params : tree of arrays
        The gradient of each parameter, in the tree of the parameters.
    x : array
        The gradient of the input.
    state : tree of arrays
        The gradient of the initial state, in the tree of the state; empty for a layer without one.
    """

    params: Tree
    x: Array
    state: Tree = ()


class LayerForward(Protocol):
    """``params, x (T, B, I), state, mask (T, B) or None, plan → y (T, B, O), state, cache``."""

    def __call__(
        self, params: Tree, x: Array, state: Tree, mask: Array | None, plan: Plan, *, xp: Namespace
    ) -> tuple[Array, Tree, Any]:
        """Run over the sequence and keep in `cache` what the backward pass needs, as planned."""


class LayerBackward(Protocol):
    """``cache, dy (T, B, O), dstate → gradients``."""

    def __call__(self, cache: Any, dy: Array, dstate: Tree, *, xp: Namespace) -> Gradients:
        """Carry the gradients of the outputs and of the final state back through the sequence."""


class LayerInfer(Protocol):
    """``params, x (T, B, I), state, mask (T, B) or None → y (T, B, O), state``."""

    def __call__(
        self, params: Tree, x: Array, state: Tree, mask: Array | None, *, xp: Namespace
    ) -> tuple[Array, Tree]:
        """Run over the sequence and keep nothing."""


class LayerStep(Protocol):
    """``params, x_t (B, I), state → y_t (B, O), state``."""

    def __call__(
        self, params: Tree, x_t: Array, state: Tree, *, xp: Namespace
    ) -> tuple[Array, Tree]:
        """Advance by one time step."""


class Layer(NamedTuple):
    """A map from sequences to sequences, with its derivative.

    Attributes
    ----------
    forward, backward, infer : callable
        See the protocols above.
    step : callable or None
        None where a single step cannot be taken, because the layer reads the future.
    """

    forward: LayerForward
    backward: LayerBackward
    infer: LayerInfer
    step: LayerStep | None
