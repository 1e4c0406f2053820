"""The phases of a program with sums over the hidden units: each goes over all units of a sequence.

A sum is complete only after all units, so what depends on it is computed in a later phase. What an
earlier phase has computed is kept, or computed again. A buffer is written as soon as its value is
known and it is no longer read.
"""

from collections.abc import Sequence
from typing import NamedTuple

from xpbptt.kernels.program import LEAVES, LOADS, Buffer, Program, Store, live
from xpbptt.kernels.symbols import LOGICAL, SUMS, Node


class Phase(NamedTuple):
    """What is done for each vector of units.

    Attributes
    ----------
    places : tuple of int
        The expressions that are computed, in order.
    known, kept : tuple of int
        Those that an earlier phase has kept, and those that a later one needs.
    sums : tuple of int
        The sums, or largest or smallest values, that are taken of expressions of this phase.
    stores : tuple of Store
        What is written.
    """

    places: tuple[int, ...]
    known: tuple[int, ...]
    kept: tuple[int, ...]
    sums: tuple[int, ...]
    stores: tuple[Store, ...]


def phases(program: Program, *, keep: bool = True) -> tuple[Phase, ...]:
    """Return the phases of a program, a single one where it has no sums.

    With `keep`, an earlier phase keeps what a later one needs and units do not share; else that is
    computed again. What a phase only loads is loaded again.
    """
    nodes = program.nodes
    level: dict[int, int] = {}
    for place in program.live():
        operation, operands = nodes[place]
        under = [] if operation in LEAVES else [level[each] for each in operands]
        level[place] = max(under, default=0) + (operation in SUMS)
    last = max(level.values(), default=0)
    sums = {place for place in level if nodes[place].operation in SUMS}
    stores = [store for store in program.stores if "j" in store.access.buffer.axes]
    when = {store: level[store.place] for store in stores}

    def needed(phase: int, stop: set[int]) -> list[int]:
        roots = [nodes[s].operands[0] for s in sums if level[s] == phase + 1]
        roots += [store.place for store in stores if when[store] == phase]
        return [place for place in live(nodes, roots, stop) if place not in sums]

    def read(phase: int) -> set[Buffer]:
        loads = (nodes[place] for place in needed(phase, sums))
        return {node.operands[0].buffer for node in loads if node.operation in LOADS}

    for phase in range(last, 0, -1):
        while early := [s for s in stores if when[s] < phase and s.access.buffer in read(phase)]:
            when |= dict.fromkeys(early, phase)
    wanted = [set(needed(phase, sums)) for phase in range(last + 1)]
    found, at_hand = [], set[int]()
    for phase in range(last + 1):
        places = needed(phase, sums | at_hand)
        known = tuple(place for place in places if place in at_hand)
        later = set[int]().union(*wanted[phase + 1 :])
        fresh = tuple(place for place in places if place not in at_hand)
        kept = tuple(p for p in fresh if keep and p in later and _worth(nodes, p))
        at_hand |= set(kept)
        taken = tuple(sorted(s for s in sums if level[s] == phase + 1))
        written = tuple(store for store in stores if when[store] == phase)
        found.append(Phase(fresh, known, kept, taken, written))
    loaded = {place for phase in found for place in phase.known}
    return tuple(
        phase._replace(kept=tuple(p for p in phase.kept if p in loaded)) for phase in found
    )


def _worth(nodes: Sequence[Node], place: int) -> bool:
    """Tell whether a value is worth keeping: one that is computed, for each unit."""
    return nodes[place].operation not in LEAVES | LOGICAL and not uniform(nodes, place)


def rows(program: Program) -> tuple[list[int], list[Store]]:
    """Return what is written once for each sequence, and the expressions that it takes."""
    stores = [store for store in program.stores if "j" not in store.access.buffer.axes]
    sums = {k for k, node in enumerate(program.nodes) if node.operation in SUMS}
    places = live(program.nodes, [store.place for store in stores], sums)
    return [place for place in places if place not in sums], stores


def uniform(nodes: Sequence[Node], place: int) -> bool:
    """Tell whether an expression is the same for all hidden units of a sequence."""
    operation, operands = nodes[place]
    if operation in LOADS:
        return "j" not in operands[0].buffer.axes
    if operation in LEAVES | SUMS:
        return True
    return all(uniform(nodes, each) for each in operands)
