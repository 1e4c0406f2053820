"""How a law compares, and what it raises."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from xpbptt._arrays.host import to_numpy
from xpbptt._arrays.tree import leaves
from xpbptt._arrays.types import Tree

ROUNDING = 1e-12  # in float64, relative to the largest element


class LawError(AssertionError):
    """A law that does not hold; the message names the law, the array and the difference."""


def same(law: str, found: Tree, expected: Tree, tolerance: float = ROUNDING) -> None:
    """Raise unless two trees are the same: structure, dtype and shape first, then the values.

    A tolerance of 0 asks for the same numbers; another one is relative to the largest element of an
    array, or to 1 where all elements are smaller.
    """
    pairs = list(named(found)), list(named(expected))
    names = [[name for name, _ in side] for side in pairs]
    if names[0] != names[1]:
        message = f"{law}: got the arrays {names[0]}, expected {names[1]}"
        raise LawError(message)
    for (name, a), (_, b) in zip(*pairs, strict=True):
        kinds = [(type(each), each.dtype, tuple(each.shape)) for each in (a, b)]
        if kinds[0] != kinds[1]:
            message = f"{law}: `{name}` is {_kind(a)}, expected {_kind(b)}"
            raise LawError(message)
        off = difference(a, b)
        if not off <= tolerance:
            message = (
                f"{law}: `{name}` is off by {off:.1e} relative to its largest element, at most "
                f"{tolerance:.1e} is rounding"
            )
            raise LawError(message)


def difference(a: Any, b: Any) -> float:
    """Return the largest difference, relative to the largest element of `b` or to 1.

    It is found on the host: two copies instead of eight kernels and two reads.
    """
    if 0 in b.shape:
        return 0.0
    first, second = (np.asarray(to_numpy(each), dtype=np.float64) for each in (a, b))
    scale = max(1.0, float(np.max(np.abs(second))))
    return float(np.max(np.abs(first - second))) / scale


def named(tree: Tree) -> Iterator[tuple[str, Any]]:
    """Yield the arrays of a dictionary of results, as ``grads.params[0].weight_ih``."""
    for name, part in tree.items():
        yield from leaves(part, name)


def _kind(array: Any) -> str:
    return f"a {type(array).__name__} of shape {tuple(array.shape)}, dtype {array.dtype}"
