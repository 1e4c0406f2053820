"""Trees: tuples, named tuples, lists and dictionaries, nested, with arrays as leaves.

Parameters, states and gradients are such trees. ``None`` is a tree without leaves.
"""

from collections.abc import Callable, Iterator
from typing import Any

from xpbptt._arrays.types import Tree


def is_named_tuple(node: object) -> bool:
    """Tell whether `node` is an instance of a named tuple."""
    return isinstance(node, tuple) and hasattr(node, "_fields")


def children(node: Tree) -> dict[str, Tree] | None:
    """Return the children of a node by the expressions that reach them, ``.bias`` or ``[0]``.

    None for a leaf.
    """
    if node is None:
        return {}
    if is_named_tuple(node):
        return {f".{field}": child for field, child in zip(node._fields, node, strict=True)}
    if isinstance(node, (tuple, list)):
        return {f"[{index}]": child for index, child in enumerate(node)}
    if isinstance(node, dict):
        return {f"[{key!r}]": child for key, child in node.items()}
    return None


def leaves(tree: Tree, name: str = "tree") -> Iterator[tuple[str, Any]]:
    """Yield each leaf with the expression that reaches it, as ``params[0].weight_ih``."""
    below = children(tree)
    if below is None:
        yield name, tree
    else:
        for path, child in below.items():
            yield from leaves(child, name + path)


def map_leaves(function: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """Apply `function` to the leaves of `tree` and the same leaves of `others`.

    The structures must be equal, which `check.same_structure` checks.
    """
    if tree is None:
        return None
    if is_named_tuple(tree):
        return type(tree)(
            *(map_leaves(function, *nodes) for nodes in zip(tree, *others, strict=True))
        )
    if isinstance(tree, (tuple, list)):
        return type(tree)(map_leaves(function, *nodes) for nodes in zip(tree, *others, strict=True))
    if isinstance(tree, dict):
        return {
            key: map_leaves(function, child, *(other[key] for other in others))
            for key, child in tree.items()
        }
    return function(tree, *others)


def copied(tree: Tree, *, xp: Any) -> Tree:
    """Return a tree whose arrays share no memory with others."""
    return map_leaves(lambda leaf: xp.asarray(leaf, copy=True), tree)


def map_shapes(function: Callable[[tuple[int, ...]], Any], shapes: Tree) -> Tree:
    """Apply `function` to the leaves of a tree of named tuples whose leaves are shapes.

    None stands for no leaves, and becomes an empty tuple.
    """
    if shapes is None:
        return ()
    if is_named_tuple(shapes):
        return type(shapes)(*(map_shapes(function, child) for child in shapes))
    return function(tuple(shapes))
