"""The gradients of a whole from those of its parts: added up, put in place, or put in order."""

from functools import partial
from operator import add
from typing import Any

from xpbptt._arrays.tree import map_leaves
from xpbptt._arrays.types import AnyArray, Namespace, Tree
from xpbptt._arrays.wide import narrowed, wide_dtype, widened
from xpbptt.bptt.engines.segment import Rewound
from xpbptt.bptt.engines.tape import Slab
from xpbptt.bptt.engines.trace import Trace, joined


class Totals:
    """Adds up what goes back over parts of a sequence, the last part first.

    Parameters
    ----------
    x : array (T, B, I)
        The input of all steps.
    xp : namespace
        Its namespace.

    Attributes
    ----------
    params : tree of arrays or None
        The sums of the gradients of the parameters so far.
    """

    def __init__(self, x: AnyArray, *, xp: Namespace) -> None:
        self.xp = xp
        self.params: Tree = None
        self._dtype = x.dtype
        self._x = Slab(x, xp=xp)
        self._state: Tree = None
        self._initial: Tree = None
        self._traces: list[Trace] = []

    def add(self, steps: slice, found: Rewound) -> None:
        """Add the gradients of some steps; those of the parameters may be added to later on."""
        if self.params is not None:
            if found.params is not self.params:  # else the engine has added its own
                self.params = map_leaves(partial(_add, xp=self.xp), self.params, found.params)
        elif steps.start:  # a cell may give two parameters one array, not to be added to twice
            self.params = map_leaves(partial(_sum_from, xp=self.xp), found.params)
        else:
            self.params = found.params
        self._x.write(steps, found.x)
        self._state = found.state
        if found.initial is not None:
            self._initial = (
                found.initial
                if self._initial is None
                else map_leaves(add, self._initial, found.initial)
            )
        if found.trace is not None:
            self._traces.append(found.trace)

    def whole(self) -> Rewound:
        """Return the gradients of all steps, in the dtype of the input."""
        dtype = self._dtype
        dparams = map_leaves(partial(narrowed, dtype=dtype, xp=self.xp), self.params)
        trace: Any = joined(self._traces[::-1], xp=self.xp) if self._traces else None
        return Rewound(dparams, self._x.whole(), self._state, trace, self._initial)


def _sum_from(first: AnyArray, *, xp: Namespace) -> AnyArray:
    """Return a new array to add to, wide enough for a sum."""
    return xp.astype(first, wide_dtype(first.dtype, xp=xp), copy=True)


def _add(total: AnyArray, more: AnyArray, *, xp: Namespace) -> AnyArray:
    total += widened(more, xp=xp)
    return total
