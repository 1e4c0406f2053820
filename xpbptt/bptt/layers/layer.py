"""What a layer is: functions over whole sequences, which combinators put together.

The functions of a layer check nothing: a net does so once, before it calls them.
"""

from typing import Any, Generic, NamedTuple, Protocol

from xpbptt._arrays.types import AnyArray, ArrayT, Namespace, ParamsTreeT, StateTreeT, Tree
from xpbptt.bptt.layers.memory import Needs, Sizes
from xpbptt.bptt.strategies import Plan


class Gradients(NamedTuple, Generic[ParamsTreeT, ArrayT, StateTreeT]):
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

    params: ParamsTreeT
    x: ArrayT
    state: StateTreeT = ()  # type: ignore[assignment]


class StartGradients(NamedTuple, Generic[ParamsTreeT, ArrayT, StateTreeT]):
    """The gradients where resets restore another state than that before the first step.

    Attributes
    ----------
    params : tree of arrays
        The gradient of each parameter, in the tree of the parameters.
    x : array
        The gradient of the input.
    state : tree of arrays
        The gradient of the state before the first step.
    initial : tree of arrays
        The gradient of the state that resets restore.
    """

    params: ParamsTreeT
    x: ArrayT
    state: StateTreeT
    initial: StateTreeT


class Run(NamedTuple):
    """How a pass forward is run.

    Attributes
    ----------
    mask : array (T, B) or None
        Which steps count.
    plan : Plan or None
        What to keep for the backward pass; None where there is none.
    key : int
        What dropout follows from.
    reset : array (T, B) or None
        Which steps begin with the initial state again.
    states : bool
        Whether to return the states after all steps.
    """

    mask: AnyArray | None = None
    plan: Plan | None = None
    key: int = 0
    reset: AnyArray | None = None
    states: bool = False


class Watch(NamedTuple):
    """What a backward pass does beside its work.

    Attributes
    ----------
    trace : bool
        Whether to take the norms of the gradients.
    clip : float or None
        The largest norm that the gradient of one sequence's state may have at any step.
    per_sample : bool
        Whether the gradients of the parameters are those of each sequence, (B, …).
    """

    trace: bool = False
    clip: float | None = None
    per_sample: bool = False


class LayerForward(Protocol):
    """``params, x (T, B, I), state, run → y (T, B, O), state, cache``."""

    def __call__(
        self, params: Tree, x: AnyArray, state: Tree, run: Run, *, xp: Namespace
    ) -> tuple[AnyArray, Tree, Any]:
        """Run over the sequence and keep in `cache` what the backward pass needs, as planned."""


class LayerBackward(Protocol):
    """``cache, dy (T, B, O), dstate, watch → gradients, trace``."""

    def __call__(
        self, cache: Any, dy: AnyArray, dstate: Tree, watch: Watch, *, xp: Namespace
    ) -> tuple[Gradients, Any]:
        """Carry the gradients of the outputs and of the final state back through the sequence."""


class LayerInfer(Protocol):
    """``params, x (T, B, I), state, run → y (T, B, O), state``."""

    def __call__(
        self, params: Tree, x: AnyArray, state: Tree, run: Run, *, xp: Namespace
    ) -> tuple[AnyArray, Tree]:
        """Run over the sequence and keep nothing."""


class LayerStep(Protocol):
    """``params, x_t (B, I), state → y_t (B, O), state``."""

    def __call__(
        self, params: Tree, x_t: AnyArray, state: Tree, *, xp: Namespace
    ) -> tuple[AnyArray, Tree]:
        """Advance by one time step."""


class LayerMemory(Protocol):
    """``sizes, plan → needs``."""

    def __call__(self, sizes: Sizes, plan: Plan) -> Needs:
        """Return what `forward` keeps with a plan, and what both passes need on their way."""


def not_stated(sizes: Sizes, plan: Plan) -> Needs:
    """Refuse: the layer was made without a function `memory`."""
    message = f"a layer does not state its memory for {sizes} and {plan}; give it `memory`"
    raise ValueError(message)


class Layer(NamedTuple):
    """A map from sequences to sequences, with its derivative.

    Attributes
    ----------
    forward, backward, infer : callable
        See the protocols above.
    step : callable or None
        None where a single step cannot be taken, because the layer reads the future.
    memory : callable
        The memory that `forward` and `backward` take, counted without running them.
    """

    forward: LayerForward
    backward: LayerBackward
    infer: LayerInfer
    step: LayerStep | None
    memory: LayerMemory = not_stated
