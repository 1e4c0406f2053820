"""Trees: tuples, named tuples, lists and dictionaries, nested, with arrays as leaves.

Parameters, states and gradients are such trees. ``None`` is a tree without leaves.
"""

from collections.abc import Callable, Iterator
from typing import Any

Tree = Any


def is_named_tuple(node: object) -> bool:
    """Tell whether `node` is an instance of a named tuple."""
    return isinstance(node, tuple) and hasattr(node, "_fields")


def leaves(tree: Tree, name: str = "tree") -> Iterator[tuple[str, Any]]:
    """Yield each leaf with the expression that reaches it, as ``params[0].weight_ih``."""
    if tree is None:
        return
    if is_named_tuple(tree):
        for field, child in zip(tree._fields, tree, strict=True):
            yield from leaves(child, f"{name}.{field}")
    elif isinstance(tree, (tuple, list)):
        for index, child in enumerate(tree):
            yield from leaves(child, f"{name}[{index}]")
    elif isinstance(tree, dict):
        for key, child in tree.items():
            yield from leaves(child, f"{name}[{key!r}]")
    else:
        yield name, tree


def map_leaves(function: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """Apply `function` to the leaves of `tree` and the same leaves of `others`.

    The structures must be equal; `_check.same_structure` says so politely beforehand.
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


def map_shapes(function: Callable[[tuple[int, ...]], Any], shapes: Tree) -> Tree:
    """Apply `function` to the leaves of a tree of named tuples whose leaves are shapes."""
    if is_named_tuple(shapes):
        return type(shapes)(*(map_shapes(function, child) for child in shapes))
    return function(tuple(shapes))
