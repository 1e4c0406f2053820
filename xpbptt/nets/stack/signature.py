"""What a net's parameters and states look like, and what `forward` keeps."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Generic, NamedTuple

from xpbptt._arrays.check import Expected
from xpbptt._arrays.tree import map_shapes
from xpbptt._arrays.types import ArrayT, NetT, Tree
from xpbptt.cells.recurrence import Weights
from xpbptt.nets.stack.stack import Stack


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
    started : bool
        Whether resets restore another state than that before the first step.
    flat : bool
        Whether a side input had no axis of its own.
    """

    net: NetT
    x: ArrayT
    layers: Any
    started: bool = False
    flat: bool = True


def _every_layer(net: Stack, entry: Callable[[int, int, str], Tree]) -> Tree:
    """Build a tree from `entry`, which takes the sizes of a layer and the name of the first."""
    outputs = (net.recurrence.parts(size)[0] for size in net.sizes)
    below = [net.input_size, *(net.directions * columns for columns in outputs)]
    pairs = zip(below, net.sizes, strict=False)
    entries = [entry(*pair, "D·H" if k else "I") for k, pair in enumerate(pairs)]
    return tuple((each, each) if net.bidirectional else each for each in entries)


@lru_cache
def parameters(net: Stack) -> Tree:
    """Return the tree of the parameters' shapes."""

    def entry(size: int, hidden: int, width: str) -> Tree:
        shapes = net.shapes(size, hidden)
        tree = map_shapes(lambda shape: Expected(shape, f"its shape in {net}"), shapes)
        if not isinstance(shapes, Weights):
            return tree
        axes = Weights(f"(G·H, {width})", "(G·H, H)", "(G·H,)", "(G·H,)")
        named = {
            field: Expected(tuple(getattr(shapes, field)), f"{names} of {net}")
            for field, names in zip(axes._fields[:4], axes, strict=False)
            if getattr(shapes, field) is not None
        }
        return tree._replace(**named)

    return _every_layer(net, entry)


@lru_cache
def states(net: Stack, batch: int, steps: int | None = None) -> Tree:
    """Return the tree of the shapes of a state, or of the states of so many steps."""
    state, rows, lead = net.recurrence.state, "B", (batch,)
    if steps is not None:
        rows, lead = "T, B", (steps, batch)  # type: ignore[assignment]

    def entry(_: int, hidden: int, __: str) -> Tree:
        parts = net.recurrence.parts(hidden)
        axes = [f"({rows}, {'H' if columns == hidden else 'P'}) of {net}" for columns in parts]
        pairs = zip(parts, axes, strict=True)
        return state(*(Expected((*lead, columns), meaning) for columns, meaning in pairs))

    return _every_layer(net, entry)
