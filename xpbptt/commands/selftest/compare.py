"""How far two results are apart."""

from typing import Any

from xpbptt._arrays.host import to_numpy
from xpbptt._arrays.tree import leaves
from xpbptt.commands.bench.contestant import Values, difference
from xpbptt.commands.selftest.check import CheckError

Tree = Any


def on_host(tree: Tree) -> Values:
    """Return the arrays of a tree by the expressions that reach them, as NumPy's."""
    return {path: to_numpy(leaf) for path, leaf in leaves(tree, "result")}


def close(found: Tree, wanted: Tree, tolerance: float, of: object) -> float:
    """Return how far two trees of the same structure are apart.

    Raises CheckError if that is more than `tolerance`; the message begins with `of`.
    """
    mine, theirs = on_host(found), on_host(wanted)
    if mine.keys() != theirs.keys():
        message = f"{of}: the results are {sorted(mine)}, expected {sorted(theirs)}"
        raise CheckError(message)
    largest = difference(mine, theirs)
    if not largest <= tolerance:
        worst = max(mine, key=lambda path: difference({path: mine[path]}, {path: theirs[path]}))
        message = f"{of}: off by {largest:.1e} in {worst}, at most {tolerance:.0e} expected"
        raise CheckError(message)
    return largest


def same_bits(found: Tree, wanted: Tree, of: object) -> None:
    """Compare two trees bit for bit.

    Raises CheckError if an array is not the same; the message begins with `of`.
    """
    mine, theirs = on_host(found), on_host(wanted)
    different = [path for path in mine if mine[path].tobytes() != theirs[path].tobytes()]
    if different:
        message = f"{of}: not the same bits in {', '.join(different)}"
        raise CheckError(message)
