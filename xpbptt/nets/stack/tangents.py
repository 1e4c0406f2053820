"""Derivatives in forward mode: a net's passes on dual numbers, step by step on the eager engine.

A directional derivative is the forward pass on dual numbers, a Hessian-vector product the backward
pass after it. Both are exact, on any library, for any cell that is written in functions of the
standard, with masks, resets and whatever else a pass may be given.
"""

from typing import Any, NamedTuple

from xpbptt._arrays import check, dual
from xpbptt._arrays.tree import children, map_leaves
from xpbptt._arrays.types import AnyArray, Namespace, Tree
from xpbptt.bptt import Gradients, KeepAll, Layer, Run, Watch
from xpbptt.bptt.layers.states import Start, apart, paired
from xpbptt.nets.stack import signature
from xpbptt.nets.stack.side import beside
from xpbptt.nets.stack.stack import Stack

UNASKED: Any = None  # in place of the memory, of which KeepAll asks nothing


class Pass(NamedTuple):
    """A forward pass on dual numbers: what it is given, checked and with its tangents."""

    layer: Layer
    xp: Namespace
    params: Tree
    x: AnyArray
    start: Tree
    run: Run

    def forward(self) -> tuple[Any, Tree, Any]:
        """Run; return the output, the state and the cache."""
        given = self.params, self.x, self.start, self.run
        return self.layer.forward(*given, xp=dual.namespace(self.xp))

    def backward(self, cache: Any, dy: Any, dstate: Tree) -> Gradients:
        """Run back, on dual numbers, too."""
        grads, _ = self.layer.backward(cache, dy, dstate, Watch(), xp=dual.namespace(self.xp))
        return grads

    def separated(self, tree: Tree) -> tuple[Tree, Tree]:
        """Return the values of a tree, and its tangents."""
        return dual.separated(tree, map_leaves, xp=self.xp)


def begun(
    net: Stack,
    layer: Layer,
    given: tuple[Namespace, Tree, Tree, int],
    x: AnyArray,
    run: Run,
    tangents: Any,
    dt: AnyArray | None = None,
) -> Pass:
    """Return a pass, with tangents for parameters, input and initial state.

    Parameters
    ----------
    net : Stack
        The net.
    layer : Layer
        Its functions on sequences.
    given : tuple
        The namespace, parameters, initial state and key, checked.
    x : array (T, B, I)
        The input.
    run : Run
        Mask, resets and what is returned.
    tangents : tuple of trees or None
        The tangents of parameters, input and initial state.
    dt : array, optional
        The side input, a constant.
    """
    xp, params, start, key = given
    if isinstance(tangents, (str, dict)) or len(children(tangents) or ()) != PARTS:
        message = (
            "`tangents` must be a tuple of three, the tangents of `params`, `x` and `state`, each "
            f"of which may be None, got {type(tangents).__name__}"
        )
        raise TypeError(message)
    of_params, of_x, of_state = tangents
    initial = apart(start)[1] if _has_initial(start) else None
    shapes = signature.states(net, x.shape[1])
    checked = [
        _tangent("tangents[0]", of_params, signature.parameters(net), x),
        _tangent("tangents[1]", of_x, check.Expected(tuple(x.shape), "the shape of `x`"), x),
        _tangent("tangents[2]", of_state, shapes, x),
    ]
    of_params, of_x, of_state = checked
    state = start if initial is None else apart(start)[0]
    begin = lifted(state, of_state, xp=xp)
    if initial is not None:
        begin = paired(Start, begin, lifted(initial, None, xp=xp))
    run = run._replace(plan=KeepAll().plan(x.shape[0], UNASKED), key=key)
    wide = beside(net, x, dt, xp=xp)
    if of_x is not None and net.recurrence.side:
        of_x = xp.concat((of_x, xp.zeros_like(wide[..., x.shape[-1] :])), axis=-1)
    trees = lifted(params, of_params, xp=xp), lifted(wide, of_x, xp=xp), begin
    return Pass(layer, xp, *trees, run)


PARTS = 3  # params, x, state


def _has_initial(start: Any) -> bool:
    first = start[0]
    return isinstance(first, Start) or isinstance(first[0], Start)


def _tangent(name: str, tree: Tree, expected: Tree, x: AnyArray) -> Tree:
    """Refuse a tangent that does not fit; return it in the structure of what it is of."""
    if tree is None:
        return None
    tree, found = check.conform(name, tree, expected)
    check.one_namespace([("x", x), *((path, leaf) for path, leaf, _ in found)])
    check.shapes(found)
    return tree


def lifted(tree: Tree, tangents: Tree, *, xp: Namespace) -> Tree:
    """Return a tree of dual numbers, which are constants without tangents."""
    if tangents is None:
        return map_leaves(lambda leaf: dual.lifted(leaf, None, xp=xp), tree)
    return map_leaves(lambda leaf, tangent: dual.lifted(leaf, tangent, xp=xp), tree, tangents)
