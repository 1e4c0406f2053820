"""A net with a side input as a net without one: the side input is a part of its input."""

from typing import Any

import array_api_compat

from xpbptt._arrays.types import AnyArray, Tree
from xpbptt.bptt import Gradients, StartGradients
from xpbptt.nets.net import Net


class Wide(Net[Any, Any, Any]):
    """A net whose calls take the side input beside `x`, and return its gradient there.

    Every law then holds of both inputs together, without knowing of the side input.
    """

    def forward(self, params: Tree, x: AnyArray, *given: Any, **options: Any) -> Any:
        """Run over a sequence; see `Net.forward`."""
        x, dt = self._apart(x)
        return super().forward(params, x, *given, dt=dt, **options)

    def backward(self, cache: Any, *given: Any, trace: bool = False, **options: Any) -> Any:
        """Go back over it; see `Net.backward`."""
        found: Any = super().backward(cache, *given, trace=trace, **options)
        grads, norms = found if trace else (found, None)
        xp = array_api_compat.array_namespace(grads.x)
        dx = xp.concat((grads.x, grads.dt), axis=-1)
        whole: Any = Gradients(grads.params, dx, grads.state)
        if grads.initial is not None:
            whole = StartGradients(grads.params, dx, grads.state, grads.initial)
        return (whole, norms) if trace else whole

    def infer(self, params: Tree, x: AnyArray, *given: Any, **options: Any) -> Any:
        """Run without a backward pass; see `Net.infer`."""
        x, dt = self._apart(x)
        return super().infer(params, x, *given, dt=dt, **options)

    def step(self, params: Tree, x_t: AnyArray, *given: Any, **options: Any) -> Any:
        """Advance by one step; see `Net.step`."""
        x_t, dt = self._apart(x_t)
        return super().step(params, x_t, *given, dt=dt, **options)

    def _apart(self, x: AnyArray) -> tuple[AnyArray, AnyArray]:
        return x[..., : self.input_size], x[..., self.input_size :]
