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
        The tangents of parameters, input and initial state; by their names those of the side input
        and of the state that resets restore, too.
    dt : array, optional
        The side input.
    """
    xp, params, start, key = given
    along, wide = _direction(tangents), beside(net, x, dt, xp=xp)
    state, initial = apart(start) if _has_initial(start) else (start, None)
    shapes = signature.states(net, x.shape[1])
    expected = {
        "params": signature.parameters(net),
        "x": check.Expected(tuple(x.shape), "the shape of `x`"),
        "state": shapes,
        "dt": None if dt is None else check.Expected(tuple(dt.shape), "the shape of `dt`"),
        "initial": None if initial is None else shapes,
    }
    checked = {name: _tangent(name, along.get(name), expected[name], x) for name in expected}
    begin = lifted(state, checked["state"], xp=xp)
    if initial is not None:
        begin = paired(Start, begin, lifted(initial, checked["initial"], xp=xp))
    run = run._replace(plan=KeepAll().plan(x.shape[0], UNASKED), key=key)
    of_x = checked["x"]
    if dt is not None and (of_x is not None or checked["dt"] is not None):
        of_x = xp.zeros_like(x) if of_x is None else of_x
        of_dt = xp.zeros_like(dt) if checked["dt"] is None else checked["dt"]
        of_x = beside(net, of_x, of_dt, xp=xp)
    trees = lifted(params, checked["params"], xp=xp), lifted(wide, of_x, xp=xp), begin
    return Pass(layer, xp, *trees, run)


NAMES = "params", "x", "state"


def _direction(tangents: Any) -> dict[str, Tree]:
    """Return the tangents by the names of what they are of."""
    named = getattr(tangents, "_asdict", None)
    if named is not None and {*NAMES} <= {*(found := named())}:
        return {name: found[name] for name in (*NAMES, "dt", "initial") if name in found}
    if isinstance(tangents, (str, dict)) or len(children(tangents) or ()) != len(NAMES):
        message = (
            "`tangents` must be a tuple of three, the tangents of `params`, `x` and `state`, each "
            "of which may be None, or the Gradients of a backward pass, got "
            f"{type(tangents).__name__}"
        )
        raise TypeError(message)
    return dict(zip(NAMES, tangents, strict=True))


def _has_initial(start: Any) -> bool:
    first = start[0]
    return isinstance(first, Start) or isinstance(first[0], Start)


def _tangent(name: str, tree: Tree, expected: Tree, x: AnyArray) -> Tree:
    """Refuse a tangent that does not fit; return it in the structure of what it is of."""
    if tree is None:
        return None
    name = f"tangents[{NAMES.index(name)}]" if name in NAMES else f"tangents.{name}"
    if expected is None:
        message = f"`{name}` is the tangent of what this call is not given: pass that, or None"
        raise ValueError(message)
    tree, found = check.conform(name, tree, expected)
    check.one_namespace([("x", x), *((path, leaf) for path, leaf, _ in found)])
    check.shapes(found)
    return tree


def lifted(tree: Tree, tangents: Tree, *, xp: Namespace) -> Tree:
    """Return a tree of dual numbers, which are constants without tangents."""
    if tangents is None:
        return map_leaves(lambda leaf: dual.lifted(leaf, None, xp=xp), tree)
    return map_leaves(lambda leaf, tangent: dual.lifted(leaf, tangent, xp=xp), tree, tangents)
