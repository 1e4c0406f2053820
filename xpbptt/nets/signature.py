"""What a net's arguments must look like, and the checks of its public calls."""

from collections.abc import Callable
from functools import lru_cache
from numbers import Real
from typing import TYPE_CHECKING, Any, Generic, NamedTuple

import array_api_compat

from xpbptt._arrays import check
from xpbptt._arrays.check import Expected
from xpbptt._arrays.tree import map_leaves, map_shapes
from xpbptt._arrays.types import ArrayT, NetT
from xpbptt.cells import contract
from xpbptt.cells.recurrence import Weights

if TYPE_CHECKING:
    from xpbptt.nets.net import Net

Array = Any
Namespace = Any
Tree = Any
Fit = Callable[[Tree, Array], bool]


class Cache(NamedTuple, Generic[NetT, ArrayT]):
    """What `Net.forward` keeps for `Net.backward`.

    It can be copied and pickled, as can the net if its cell's functions can, for another process.

    Attributes
    ----------
    net : Net
        The net that made it.
    x : array (T, B, I)
        The input.
    layers : tuple
        What each layer kept.
    """

    net: NetT
    x: ArrayT
    layers: Any


def _every_layer(net: "Net", entry: Callable[[int, str], Tree]) -> Tree:
    """Build a tree from `entry`, which takes the size of a layer's input and its name."""
    sizes = [(net.input_size, "I")]
    sizes += [(net.directions * net.hidden_size, "D·H")] * (net.num_layers - 1)
    return tuple((entry(*size),) * 2 if net.bidirectional else entry(*size) for size in sizes)


@lru_cache
def parameters(net: "Net") -> Tree:
    """Return the tree of the parameters' shapes."""

    def entry(size: int, width: str) -> Tree:
        shapes = net.recurrence.shapes(size, net.hidden_size)
        tree = map_shapes(lambda shape: Expected(shape, f"its shape in {net}"), shapes)
        if not isinstance(shapes, Weights):
            return tree
        axes = Weights(f"(G·H, {width})", "(G·H, H)", "(G·H,)", "(G·H,)")
        named = {
            field: Expected(tuple(getattr(shapes, field)), f"{names} of {net}")
            for field, names in zip(axes._fields[:4], axes, strict=False)
        }
        return tree._replace(**named)

    return _every_layer(net, entry)


@lru_cache
def states(net: "Net", batch: int) -> Tree:
    """Return the tree of the shapes of a state."""
    state = net.recurrence.state
    part = Expected((batch, net.hidden_size), f"(B, H) of {net}")
    return _every_layer(net, lambda _, __: state(*[part] * len(state._fields)))


@lru_cache
def _fitting(net: "Net", batch: int) -> tuple[Fit, Fit, set[Any]]:
    """Return the quick tests of parameters and of a state.

    The set is of the types and dtypes of arrays for which the cell is known to keep its contract.
    """
    return check.fitting(parameters(net)), check.fitting(states(net, batch)), set()


def check_forward(
    net: "Net",
    params: Tree,
    x: Array,
    state: Tree,
    mask: Array | None = None,
    *,
    name: str = "x",
    axes: str = "(T, B, I)",
) -> tuple[Namespace, Tree, Tree]:
    """Check the arguments of a forward call and fill in the initial state."""
    xp = check.array_namespace(name, x)
    check.rank(name, x, axes)
    *_, batch, width = x.shape
    params_fit, state_fits, known = _fitting(net, batch)
    kind = type(x), x.dtype
    if not (
        width == net.input_size
        and params_fit(params, x)
        and (state is None or state_fits(state, x))
        and kind in known
    ):
        params, found = check.conform("params", params, parameters(net))
        if state is not None:
            state, in_state = check.conform("state", state, states(net, batch))
            found += in_state
        named = [(name, x), *((path, leaf) for path, leaf, _ in found)]
        xp = check.one_namespace(named, most=True)
        check.shape(name, x, (*x.shape[:-1], net.input_size), f"{axes} of {net}")
        check.shapes(found)
        contract.check(net.cell, net.input_size, net.hidden_size, x)
        known.add(kind)
    if mask is not None:
        check.beside("mask", mask, name, x, kind="bool", xp=xp)
        check.shape("mask", mask, tuple(x.shape[:2]), "(T, B)")
    return xp, params, _zeros(net, x, xp=xp) if state is None else state


def check_backward(net: "Net", cache: Cache, dy: Array, dstate: Tree) -> tuple[Namespace, Tree]:
    """Check the arguments of a backward call and fill in the final state's gradient."""
    if not isinstance(cache, Cache):
        message = f"`cache` must be what `forward` returned, got {type(cache).__name__}"
        raise TypeError(message)
    if cache.net != net:
        message = f"`cache` was made by {cache.net}, but this is {net}: pass each net its own"
        if str(cache.net) == str(net):
            message = (
                f"`cache` was made by {cache.net} of another cell with the name {net.cell.name}, "
                "perhaps one that was made anew since: call `forward` again"
            )
        raise ValueError(message)
    steps, batch, _ = cache.x.shape
    found = [
        (
            "dy",
            dy,
            Expected((steps, batch, net.directions * net.hidden_size), f"(T, B, D·H) of {net}"),
        )
    ]
    if dstate is not None:
        dstate, in_state = check.conform("dstate", dstate, states(net, batch))
        found += in_state
    xp = check.one_namespace([("x", cache.x), *((path, leaf) for path, leaf, _ in found)])
    check.shapes(found)
    return xp, _zeros(net, cache.x, xp=xp) if dstate is None else dstate


def in_order(tree: Tree, x: Array) -> Tree:
    """Return results in the byte order of `x`, which NumPy's operations do not keep."""
    if getattr(x.dtype, "isnative", True):
        return tree
    return map_leaves(lambda leaf: leaf.astype(x.dtype, copy=False), tree)


def check_clip(limit: object) -> float | None:
    """Refuse a limit that is none."""
    if limit is None:
        return None
    if isinstance(limit, bool) or not isinstance(limit, Real):
        message = f"`clip_step` must be a number or None, got {limit!r}"
        raise TypeError(message)
    if not 0 < float(limit) < float("inf"):
        message = f"`clip_step` must be finite and above 0, got {limit}"
        raise ValueError(message)
    return float(limit)


def _zeros(net: "Net", x: Array, *, xp: Namespace) -> Tree:
    device = array_api_compat.device(x)
    return map_leaves(
        lambda expected: xp.zeros(expected.shape, dtype=x.dtype, device=device),
        states(net, x.shape[-2]),
    )
