"""From the device to the host and back; only the command line does so."""

import numpy as np

from xpbptt._arrays.host import to_numpy
from xpbptt._arrays.tree import map_leaves
from xpbptt._arrays.types import Namespace, Tree


def to_host(tree: Tree) -> Tree:
    """Return a tree of contiguous NumPy arrays with the values of a tree of any library's."""
    return map_leaves(lambda array: np.ascontiguousarray(to_numpy(array)), tree)


def to_device(tree: Tree, *, xp: Namespace) -> Tree:
    """Return a tree of arrays of `xp`, float32, on its default device."""
    return map_leaves(lambda array: xp.asarray(array, dtype=xp.float32, copy=True), tree)


def on_host(xp: Namespace) -> bool:
    """Tell whether the arrays of a library are in the memory of the host by default."""
    kind, _ = xp.ones(1).__dlpack_device__()
    return bool(kind == 1)  # DLPack's number for the CPU
