"""Heads: units in groups, of which W_hh connects each with itself only.

W_hh is kept as the blocks on the diagonal, (G·H, H/heads): a row has the weights of the units of
its own head. The layer inside multiplies by the whole matrix, with zeros between the heads, so that
any engine runs it; of the gradient of that matrix the blocks are taken.

A NaN or infinity of one head therefore reaches the others of its sequence at the next step, as zero
times NaN is NaN, and other sequences never; the product takes `heads` times the work. A product by
blocks would need another layout of all compiled loops, which would have to agree with the cells run
eagerly: the panels of the forward product hold the units of one vector, which those of a head need
not fill, and the record of a step back holds the gates side by side, in which the units of one head
are G pieces. The heads cannot be layers of their own: the norm that `clip_step` limits is that of
all of them, and a cell may take sums over all units.
"""

from typing import Any

import array_api_compat

from xpbptt._arrays.types import AnyArray, Namespace, Tree
from xpbptt.bptt.layers.layer import Gradients, Layer, Run, Watch
from xpbptt.bptt.layers.memory import Needs, Sizes
from xpbptt.bptt.layers.passes import Pass, Steps, steps
from xpbptt.bptt.strategies import Plan


def headed(layer: Layer, heads: int, gates: int) -> Layer:
    """Let a layer have heads.

    Parameters
    ----------
    layer : Layer
        The layer; its W_hh is (G·H, H).
    heads : int
        The number of heads.
    gates : int
        The gates that have a product, for the size of W_hh.
    """

    def forward(
        params: Tree, x: AnyArray, state: Tree, run: Run, *, xp: Namespace
    ) -> Steps[tuple[AnyArray, Tree, Any]]:
        params, ahead = whole(params, heads, xp=xp), steps(layer.forward)
        y, state, cache = yield from ahead(params, x, state, run, xp=xp)
        return y, state, cache

    def backward(
        cache: Any, dy: AnyArray, dstate: Tree, watch: Watch, *, xp: Namespace
    ) -> Steps[tuple[Gradients, Any]]:
        grads, trace = yield from steps(layer.backward)(cache, dy, dstate, watch, xp=xp)
        blocks = _blocks(grads.params.weight_hh, heads, xp=xp)
        return grads._replace(params=grads.params._replace(weight_hh=blocks)), trace

    def infer(
        params: Tree, x: AnyArray, state: Tree, run: Run, *, xp: Namespace
    ) -> Steps[tuple[AnyArray, Tree]]:
        params, ahead = whole(params, heads, xp=xp), steps(layer.infer)
        y, state = yield from ahead(params, x, state, run, xp=xp)
        return y, state

    def step(params: Tree, x_t: AnyArray, state: Tree, *, xp: Namespace) -> tuple[AnyArray, Tree]:
        one: Any = layer.step
        return one(whole(params, heads, xp=xp), x_t, state, xp=xp)  # type: ignore[no-any-return]

    def memory(sizes: Sizes, plan: Plan) -> Needs:
        one, matrix = layer.memory(sizes, plan), gates * sizes.hidden**2
        return one._replace(
            kept=one.kept + matrix,
            forward=one.forward + 2 * matrix,
            backward=one.backward + 2 * matrix,
        )

    one = None if layer.step is None else step
    return Layer(Pass(forward), Pass(backward), Pass(infer), one, memory)


def whole(params: Any, heads: int, *, xp: Namespace) -> Any:
    """Return the parameters with the whole matrix W_hh (G·H, H) of one head.

    Parameters
    ----------
    params : Weights
        The parameters.
    heads : int
        The number of heads; 1 changes nothing.
    xp : namespace
        The namespace of the arrays.
    """
    if heads == 1:
        return params
    rows, size = params.weight_hh.shape
    blocks = xp.reshape(params.weight_hh, (-1, heads, size, 1, size))
    same = _same(heads, params.weight_hh, xp=xp)
    matrix = xp.where(same, blocks, xp.zeros_like(blocks))
    return params._replace(weight_hh=xp.reshape(matrix, (rows, heads * size)))


def _blocks(matrix: AnyArray, heads: int, *, xp: Namespace) -> AnyArray:
    """Return the blocks (…, G·H, H/heads) on the diagonal of matrices (…, G·H, H)."""
    *lead, rows, columns = matrix.shape
    size = columns // heads
    parts = xp.reshape(matrix, (*lead, rows // columns, heads, size, heads, size))
    kept = xp.where(_same(heads, matrix, xp=xp), parts, xp.zeros_like(parts))
    return xp.reshape(xp.sum(kept, axis=-2), (*lead, rows, size))


def _same(heads: int, like: AnyArray, *, xp: Namespace) -> AnyArray:
    """Return where the head of a row is that of a column, for (…, heads, H/heads, heads, …)."""
    places = xp.arange(heads, device=array_api_compat.device(like))
    return xp.reshape(places, (heads, 1, 1, 1)) == xp.reshape(places, (1, 1, heads, 1))
