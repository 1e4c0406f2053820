"""A cache of `Net.forward` as a list of arrays, and the frame that they are put back into.

The frameworks hold what a backward pass needs themselves, and take arrays only.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import array_api_compat

from xpbptt._arrays.tree import leaves, map_leaves
from xpbptt._arrays.types import AnyArray, Tree
from xpbptt.bptt.engines.tape import Tape


@dataclass(frozen=True)
class Gap:
    """Where so many arrays belong: one, or all parts of a tape in the namespace `tape`."""

    count: int = 1
    tape: Any = None

    def filled(self, waiting: Iterator[AnyArray]) -> Any:
        """Return the array or the tape."""
        if self.tape is None:
            return next(waiting)
        return Tape.of(tuple(islice(waiting, self.count)), xp=self.tape)


class Frame:
    """A cache without its arrays.

    Parameters
    ----------
    cache : tree
        What `Net.forward` keeps: tuples of arrays, of tapes of arrays, and of other values, which
        stay in the frame.
    """

    def __init__(self, cache: Tree) -> None:
        self._tree = map_leaves(_gap, cache)

    def filled(self, arrays: Sequence[AnyArray]) -> Tree:
        """Return the cache with these arrays, in the order of `split`."""
        waiting = iter(arrays)
        return map_leaves(
            lambda leaf: leaf.filled(waiting) if isinstance(leaf, Gap) else leaf, self._tree
        )


def split(cache: Tree) -> tuple[list[AnyArray], Frame]:
    """Return the arrays of a cache, those in its tapes too, and the frame that they left."""
    found: list[AnyArray] = []
    for _, leaf in leaves(cache):
        if isinstance(leaf, Tape):
            found += leaf.stacked()
        elif array_api_compat.is_array_api_obj(leaf):
            found.append(leaf)
    return found, Frame(cache)


def _gap(leaf: Any) -> Any:
    """Return what stands for a leaf in the frame: a gap for arrays, else the leaf."""
    if isinstance(leaf, Tape):
        return Gap(leaf.parts, leaf.xp)
    return Gap() if array_api_compat.is_array_api_obj(leaf) else leaf
