"""What can be checked: a layer, what it takes, and the error where its gradients are wrong."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from xpbptt._arrays.types import AnyArray, Tree


class Differentiable(Protocol):
    """What can be checked: a forward pass and its backward pass."""

    @property
    def forward(self) -> Callable[..., Any]:
        """The forward pass."""

    @property
    def backward(self) -> Callable[..., Any]:
        """The backward pass."""


class GradientError(AssertionError):
    """A backward pass that is not the derivative of its forward pass."""


class Inputs(NamedTuple):
    """Everything that a forward pass can be differentiated by."""

    params: Tree
    x: AnyArray
    state: Tree


def forward(layer: Any, inputs: Inputs, options: dict[str, Any]) -> Any:
    """Run a forward pass, with the state where there is one."""
    params, x, state = inputs
    if state is None:
        return layer.forward(params, x, **options)
    return layer.forward(params, x, state, **options)
