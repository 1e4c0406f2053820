"""What may stand in the place of a state: the state with something beside it.

The combinators hand states and their gradients on, so that both reach the layer they belong to.
"""

from functools import partial
from typing import Any, NamedTuple

from xpbptt._arrays.tree import map_leaves
from xpbptt._arrays.types import Namespace, Tree


class Start(NamedTuple):
    """The state before the first step, and another one that resets restore; or their gradients."""

    state: Tree
    initial: Tree


class Every(NamedTuple):
    """The state after the last step, and those (T, B, H) after every step; or their gradients."""

    last: Tree
    steps: Tree


def paired(kind: type[Start] | type[Every], state: Tree, initial: Tree) -> Tree:
    """Return the tree of a `Start` or an `Every` for each layer and direction."""
    if hasattr(state, "_fields"):
        return kind(state, initial)
    return tuple(paired(kind, *both) for both in zip(state, initial, strict=True))


def apart(tree: Any) -> tuple[Tree, Tree]:
    """Return the two trees that `paired` put together."""
    if isinstance(tree, (Start, Every)):
        return tree[0], tree[1]
    first, second = zip(*map(apart, tree), strict=True)
    return first, second


def flipped(state: Any, *, xp: Namespace) -> Tree:
    """Return a state with those of all steps in reverse."""
    if not isinstance(state, Every):
        return state
    return state._replace(steps=map_leaves(partial(xp.flip, axis=0), state.steps))
