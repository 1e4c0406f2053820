"""Resets: steps that begin with the initial state again, whatever the state is by then.

A boolean array (T, B) marks them. The states that are kept are those after each step, so that the
outputs stay what they are; the state that a step starts from is chosen where it is read. Backward,
the gradient of that state goes to the initial state instead of to the step before. A masked step is
reset like any other: the state that passes it is the initial one then.
"""

from collections.abc import Callable
from typing import NamedTuple

from xpbptt._arrays.tree import map_leaves
from xpbptt._arrays.types import AnyArray, Arrays, Namespace, Tree


class Resets(NamedTuple):
    """Which steps begin with the initial state, and that state.

    Attributes
    ----------
    where : array (T, B)
        True where a step begins with it.
    initial : named tuple of arrays (B, H)
        The state.
    """

    where: AnyArray
    initial: Tree

    def part(self, steps: slice) -> "Resets":
        """Return those of some of the steps."""
        return self._replace(where=self.where[steps, ...])

    def all_starts(
        self, states: Arrays, only: int | None = None, *, choose: Callable[..., AnyArray]
    ) -> Arrays:
        """Return the states (T, B, H) that steps start from, after the states `states`.

        With `only` a number, that is done of one part, and the others are left as they are.
        `choose` is ``xp.where``, or takes what it takes.
        """
        column = self.where[..., None]
        return tuple(
            choose(column, first, part) if only in {None, k} else part
            for k, (first, part) in enumerate(zip(self.initial, states, strict=True))
        )


def chosen(column: AnyArray, initial: Tree, states: Tree, *, xp: Namespace) -> Arrays:
    """Return the parts of the initial state where `column` is True, elsewhere those of `states`."""
    pairs = zip(initial, states, strict=True)
    return tuple([xp.where(column, first, part) for first, part in pairs])


def parted(column: AnyArray, dstate: Tree, *, xp: Namespace) -> tuple[Tree, Tree]:
    """Return what of the gradient of the state before a step goes to the initial state, and back.

    A NaN in one of them is none in the other.
    """
    zeros = map_leaves(xp.zeros_like, dstate)
    kind, pairs = type(dstate), list(zip(dstate, zeros, strict=True))
    to_initial = kind(*(xp.where(column, part, zero) for part, zero in pairs))
    return to_initial, kind(*(xp.where(column, zero, part) for part, zero in pairs))


def start(resets: Resets | None, t: int, state: Tree, *, xp: Namespace) -> Tree:
    """Return the state that step `t` starts from, after the state `state`."""
    if resets is None:
        return state
    return type(resets.initial)(*chosen(resets.where[t, :, None], resets.initial, state, xp=xp))


def starts(resets: Resets | None, states: Arrays, *, xp: Namespace) -> Arrays:
    """Return the states (T, B, H) that steps start from; `states` where nothing is reset."""
    return states if resets is None else resets.all_starts(states, choose=xp.where)
