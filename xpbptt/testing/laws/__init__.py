"""The laws that every recurrent net obeys, as functions to call on any net or cell.

Each takes a `Net`, or a cell as a net of one layer, and the array library ``xp=`` to run on, draws
small arrays from a seed and returns None, or raises an AssertionError that names the law, the array
and the difference. `hold` runs them all.

Examples
--------
>>> import xpbptt
>>> from xpbptt.testing import laws
>>> laws.strategies(xpbptt.LSTM(3, 5, num_layers=2))
>>> sorted(laws.LAWS)[:3]
['chunks', 'derivative', 'direction']
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

from xpbptt.testing.laws.checker import mutants
from xpbptt.testing.laws.compare import LawError
from xpbptt.testing.laws.compiled import engines
from xpbptt.testing.laws.derivative import derivative
from xpbptt.testing.laws.masks import padding
from xpbptt.testing.laws.memory import strategies
from xpbptt.testing.laws.reading import direction
from xpbptt.testing.laws.resets import resets
from xpbptt.testing.laws.streams import chunks
from xpbptt.testing.laws.upstream import linearity

__all__ = [
    "LAWS",
    "LawError",
    "chunks",
    "derivative",
    "direction",
    "engines",
    "hold",
    "linearity",
    "mutants",
    "padding",
    "resets",
    "strategies",
]

LAWS: dict[str, Callable[..., None]] = {
    "derivative": derivative,
    "linearity": linearity,
    "strategies": strategies,
    "direction": direction,
    "padding": padding,
    "chunks": chunks,
    "resets": resets,
    "engines": engines,
    "mutants": mutants,
}


def hold(net: Any, *, xp: ModuleType | None = None, seed: int = 0) -> None:
    """Check all laws, one after the other: seconds, or more where the cell must be compiled.

    Parameters
    ----------
    net : Net, Cell or Recurrence
        What is checked; a cell as a net of one layer.
    xp : namespace, optional
        The array library. Default: NumPy.
    seed : int
        Where all numbers come from.

    Raises
    ------
    AssertionError
        At the first law that does not hold.

    Examples
    --------
    >>> import xpbptt
    >>> xpbptt.testing.laws.hold(xpbptt.GRU(3, 5))
    """
    for law in LAWS.values():
        law(net, xp=xp, seed=seed)
