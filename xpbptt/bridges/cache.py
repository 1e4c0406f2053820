"""A cache of `Net.forward` as a list of arrays, and the frame that they are put back into.

The frameworks hold what a backward pass needs themselves, and take arrays only.
"""

from collections.abc import Sequence

import array_api_compat

from xpbptt._arrays.tree import leaves, map_leaves
from xpbptt._arrays.types import AnyArray, Tree

GAP = object()  # where an array belongs


class Frame:
    """A cache without its arrays.

    Parameters
    ----------
    cache : tree
        What `Net.forward` keeps: tuples of arrays and of other values, which stay in the frame.
    """

    def __init__(self, cache: Tree) -> None:
        self._tree = map_leaves(
            lambda leaf: GAP if array_api_compat.is_array_api_obj(leaf) else leaf, cache
        )

    def filled(self, arrays: Sequence[AnyArray]) -> Tree:
        """Return the cache with these arrays, in the order of `split`."""
        waiting = iter(arrays)
        return map_leaves(lambda leaf: next(waiting) if leaf is GAP else leaf, self._tree)


def split(cache: Tree) -> tuple[list[AnyArray], Frame]:
    """Return the arrays of a cache, and the frame that they left."""
    found = [leaf for _, leaf in leaves(cache) if array_api_compat.is_array_api_obj(leaf)]
    return found, Frame(cache)
