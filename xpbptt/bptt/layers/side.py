"""A side input, which reaches the cells of all layers beside x: its columns are the last of x."""

from typing import Any

from xpbptt._arrays.types import AnyArray, Namespace, Tree
from xpbptt.bptt.layers.layer import Gradients, Layer, Run, Watch
from xpbptt.bptt.layers.memory import Needs, Sizes
from xpbptt.bptt.strategies import Plan


def carrying(layer: Layer, columns: int) -> Layer:
    """Let a layer hand the last columns of its input on, beside its output.

    Parameters
    ----------
    layer : Layer
        The layer, which reads these columns, too.
    columns : int
        How many there are.
    """

    def forward(
        params: Tree, x: AnyArray, state: Tree, run: Run, *, xp: Namespace
    ) -> tuple[AnyArray, Tree, Any]:
        y, state, cache = layer.forward(params, x, state, run, xp=xp)
        return xp.concat((y, x[..., -columns:]), axis=-1), state, cache

    def backward(
        cache: Any, dy: AnyArray, dstate: Tree, watch: Watch, *, xp: Namespace
    ) -> tuple[Gradients, Any]:
        grads, trace = layer.backward(cache, dy[..., :-columns], dstate, watch, xp=xp)
        above = grads.x[..., -columns:] + dy[..., -columns:]
        return grads._replace(x=xp.concat((grads.x[..., :-columns], above), axis=-1)), trace

    def infer(
        params: Tree, x: AnyArray, state: Tree, run: Run, *, xp: Namespace
    ) -> tuple[AnyArray, Tree]:
        y, state = layer.infer(params, x, state, run, xp=xp)
        return xp.concat((y, x[..., -columns:]), axis=-1), state

    def step(params: Tree, x_t: AnyArray, state: Tree, *, xp: Namespace) -> tuple[AnyArray, Tree]:
        one: Any = layer.step
        y_t, state = one(params, x_t, state, xp=xp)
        return xp.concat((y_t, x_t[..., -columns:]), axis=-1), state

    def memory(sizes: Sizes, plan: Plan) -> Needs:
        one = layer.memory(sizes._replace(views=True, inner=True), plan)
        y = sizes.steps(one.width + columns)
        return one._replace(
            width=one.width + columns,
            y=y,
            forward=max(one.forward, one.kept + one.y + y),
            backward=one.backward + sizes.steps(sizes.inputs),
        )

    return Layer(forward, backward, infer, None if layer.step is None else step, memory)
