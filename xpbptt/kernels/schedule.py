"""A program as few calls of functions on whole arrays, each on several gates at once where it can.

The gates of a block lie side by side. Where neighbours have the same done to them, one call does it
to all. A result takes the place of an operand that is not needed any more, so that what becomes of
a gate stays beside what becomes of the others, and the next call can take them together again.
"""

from collections import Counter
from typing import NamedTuple

from xpbptt.kernels.program import LEAVES, LOADS, Access, Buffer, Program
from xpbptt.kernels.trace import LOGICAL


class Span(NamedTuple):
    """Neighbouring blocks of a buffer at one step, or at the one after it."""

    buffer: Buffer
    later: bool
    first: int
    blocks: int = 1

    @classmethod
    def of(cls, access: Access) -> "Span":
        """Return the one block that an access is to."""
        return cls(access.buffer, access.later, access.block)

    def shifted(self, distance: int) -> "Span":
        """Return the block so many further on; what has no units is the same for all blocks."""
        return self._replace(first=self.first + distance) if "j" in self.buffer.axes else self

    def widened(self, blocks: int) -> "Span":
        """Return so many neighbours."""
        return self._replace(blocks=blocks) if "j" in self.buffer.axes else self


Operand = Span | float


class Call(NamedTuple):
    """An operation on spans and numbers, and where its result goes."""

    operation: str
    operands: tuple[Operand, ...]
    target: Span


def schedule(program: Program) -> list[Call]:
    """Return the calls that compute a program, in order.

    Beside the program's buffers they use some that are new, working memory.
    """
    schedule = _Schedule(program)
    while schedule.waiting:
        for places in schedule.alike():
            schedule.emit(places)
    schedule.copy_the_rest()
    return schedule.calls


class _Schedule:
    """The calls so far, and where each value is."""

    def __init__(self, program: Program) -> None:
        self.calls: list[Call] = []
        self.nodes = program.nodes
        live = program.live()
        self.waiting = [p for p in live if self.nodes[p].operation not in LEAVES]
        self.stores: dict[int, list[Span]] = {}
        for access, place in program.stores:
            self.stores.setdefault(place, []).append(Span.of(access))
        self.homes: dict[int, Operand] = {}
        for place in live:
            operation, operands = self.nodes[place]
            if operation in LEAVES:
                self.homes[place] = Span.of(operands[0]) if operation in LOADS else operands[0]
        self.uses = Counter(p for each in self.waiting for p in self.nodes[each].operands)
        self.uses.update(place for _, place in program.stores)
        self.heights: dict[int, int] = {}  # how many operations depend on one, in a row
        self.users: dict[int, list[int]] = {}
        for place in reversed(self.waiting):
            height = self.heights.setdefault(place, 0)
            for operand in self.nodes[place].operands:
                self.heights[operand] = max(self.heights.get(operand, 0), height + 1)
                self.users.setdefault(operand, []).append(place)
        self.free: list[Span] = []
        self.made = 0

    def operands(self, place: int) -> tuple[Operand, ...]:
        """Return where the operands of an operation are."""
        return tuple(self.homes[p] for p in self.nodes[place].operands)

    def alike(self) -> list[list[int]]:
        """Pick the operation that most depends on, and all that do the same to other blocks.

        Those of neighbouring blocks, in order, are one list, for one call.
        """
        ready = [p for p in self.waiting if all(o in self.homes for o in self.nodes[p].operands)]
        first = max(ready, key=self.heights.__getitem__)
        beside = {0: first}
        for other in ready:
            distance = self._distance(first, other)
            if distance is not None:
                beside.setdefault(distance, other)
        lists: list[list[int]] = []
        for distance in sorted(beside):
            if distance - 1 not in beside:
                lists.append([])
            lists[-1].append(beside[distance])
        return lists

    def _distance(self, place: int, other: int) -> int | None:
        """Return how many blocks further on the operands of another operation are, if they are."""
        if self.nodes[place].operation != self.nodes[other].operation:
            return None
        pairs = list(zip(self.operands(place), self.operands(other), strict=True))
        shifts = (
            theirs.first - mine.first
            for mine, theirs in pairs
            if isinstance(mine, Span) and isinstance(theirs, Span) and "j" in mine.buffer.axes
        )
        distance = next(shifts, 0)
        same = (
            theirs == (mine.shifted(distance) if isinstance(mine, Span) else mine)
            for mine, theirs in pairs
        )
        return distance if all(same) else None

    def emit(self, places: list[int]) -> None:
        """Write down the call of neighbours, or one for each if results belong apart."""
        used = Counter(p for place in places for p in self.nodes[place].operands)
        stored = [self._store(place, used) for place in places]
        together = stored[0] is not None and all(
            span == stored[0].shifted(k) for k, span in enumerate(stored)
        )
        apart = len(places) > 1 and not together
        if apart and 1 + len(stored) - stored.count(None) >= len(places):
            for place in places:
                self.emit([place])
            return
        target = None
        if stored[0] is not None and not apart:
            target = stored[0].widened(len(places))
            for place, span in zip(places, stored, strict=True):
                self.stores[place].remove(span)  # type: ignore[arg-type]
                self.uses[place] -= 1
        elif len(places) == 1:
            target = self._promised(places[0], used)
        self._call(places, used, target or self._room(places, used))

    def _call(self, places: list[int], used: Counter[int], target: Span) -> None:
        operands = (
            home.widened(len(places)) if isinstance(home, Span) else home
            for home in self.operands(places[0])
        )
        self.calls.append(Call(self.nodes[places[0]].operation, tuple(operands), target))
        self.uses -= used
        for distance, place in enumerate(places):
            self.homes[place] = target._replace(blocks=1).shifted(distance)
            self.waiting.remove(place)
        kept = {home for place, home in self.homes.items() if self.uses[place]}
        for place in used:
            home = self.homes[place]
            if isinstance(home, Span) and _is_work(home) and home not in kept | {*self.free}:
                self.free.append(home)

    def _store(self, place: int, used: Counter[int]) -> Span | None:
        """Return where the result belongs, if it can go there at once."""
        spans = (span for span in self.stores.get(place, ()) if self._is_free(span, place, used))
        return next(spans, None)

    def _promised(self, place: int, used: Counter[int]) -> Span | None:
        """Return where the result of a later operation belongs, if it may be written over this."""
        logical = self.nodes[place].operation in LOGICAL
        spans = (
            span
            for user in self.users.get(place, ())
            if self._may_replace(user, place)
            for span in self.stores.get(user, ())
            if span.buffer.logical == logical and self._is_free(span, place, used)
        )
        return next(spans, None)

    def _is_free(self, span: Span, place: int, used: Counter[int]) -> bool:
        """Tell whether what is in a span is needed by nothing but the operation that writes it."""
        there = [p for p, home in self.homes.items() if home == span]
        return all(
            self.uses[p] <= used[p] and (not used[p] or self._may_replace(place, p)) for p in there
        )

    def _may_replace(self, place: int, operand: int) -> bool:
        """Tell whether the result of an operation may be written over one of its operands.

        A choice is written over one of what it chooses from, not over what its neighbours do; over
        the first one only if what it chooses by is there the other way round, too, as it is of a
        mask.
        """
        operation, operands = self.nodes[place]
        if operation != "where":
            return True
        condition, first, second = operands
        if operand == condition or first == second:
            return False
        home = self.homes.get(condition)
        both_ways = isinstance(home, Span) and "j" not in home.buffer.axes
        return operand == second or (operand == first and both_ways)

    def _room(self, places: list[int], used: Counter[int]) -> Span:
        """Return where the results of neighbours can be put: over operands, or somewhere else."""
        first, count = places[0], len(places)
        logical = self.nodes[first].operation in LOGICAL
        for k, home in enumerate(self.operands(first)):
            if isinstance(home, Span) and home.buffer.spent and home.buffer.logical == logical:
                over = [self.nodes[place].operands[k] for place in places]
                if all(
                    self.uses[p] == used[p] and self._may_replace(place, p)
                    for place, p in zip(places, over, strict=True)
                ):
                    return home.widened(count)
        if count == 1:
            for span in self.free:
                if (span.buffer.blocks, span.buffer.logical) == (1, logical):
                    self.free.remove(span)
                    return span
        self.made += 1
        buffer = Buffer(f"work_{self.made}", "bj", count, logical, spent=True)
        return Span(buffer, later=False, first=0, blocks=count)

    def copy_the_rest(self) -> None:
        """Copy what is stored but was not computed in its place."""
        rest = [(self.homes[place], span) for place in self.stores for span in self.stores[place]]
        targets = {span for _, span in rest}
        for number, (home, span) in enumerate(rest):
            if home in targets:  # it would be overwritten
                self.made += 1
                aside = Span(Buffer(f"work_{self.made}", "bj", 1, spent=True), later=False, first=0)
                self.calls.append(Call("copy", (home,), aside))
                rest[number] = aside, span
        self.calls += [Call("copy", (home,), span) for home, span in rest]


def _is_work(span: Span) -> bool:
    return span.buffer.name.startswith("work_")
