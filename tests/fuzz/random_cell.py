"""A random cell: a random formula forward, its derivative backward, and a random choice of what
is kept between the two."""

import random as stdlib_random
from collections import namedtuple
from functools import cache
from typing import NamedTuple

import numpy as np

import xpbptt

from .formula import LEAF, Formula


class Leaves(NamedTuple):
    """The places of the leaves of a cell's formula; of a cell that uses u + v only, `v` is `u`."""

    u: list[int]
    v: list[int]
    state: list[int]
    extra: list[int]


@cache
def random_cell(seed: int) -> xpbptt.Cell:
    """Make the cell of a seed: 1 to 4 gates, 1 to 3 parts of the state, 0 to 2 own parameters."""
    random = stdlib_random.Random(f"cell {seed}")
    gates, parts = random.randint(1, 4), random.randint(1, 3)
    own, shared = random.choice((0, 0, 1, 2)), random.random() < 0.5
    places = iter(range(99))
    take = lambda count: [next(places) for _ in range(count)]  # noqa: E731
    u = take(gates)
    # Of a gate without a product the place of v is that of u.
    some = [random.random() < 0.7 for _ in u] if random.random() < 0.5 else [True] * gates
    v = u if shared else [next(places) if there else k for there, k in zip(some, u, strict=True)]
    leaves = Leaves(u, v, take(parts), take(own))
    formula = Formula(next(places))
    sums = (
        leaves.u
        if shared
        else [formula.add("add", *pair) for pair in zip(leaves.u, leaves.v, strict=True)]
    )
    formula.grow(random, random.randint(3, 14))
    new = [_new_part(formula, random, sums, before) for before in leaves.state]
    part = random.choice((None, random.randrange(parts)))
    return _cell(f"random-{seed}", formula, leaves, new, random, own=own, some=some, part=part)


def _new_part(formula: Formula, random, sums: list[int], before: int) -> int:
    """Append a part of the new state, which is bounded if the parts of the state are."""
    numbers = [k for k in range(len(formula.nodes)) if formula.gives(k) == "n"]
    mixed = formula.add("add", random.choice(sums), random.choice(numbers[-6:]))
    inner = formula.add("tanh", mixed)
    how = random.choice(("new", "mixed", "gated"))
    if how == "new":
        return inner
    if how == "mixed":
        halves = (formula.add("scaled", each, constant=0.5) for each in (before, inner))
        return formula.add("add", *halves)
    gate = formula.add("sigmoid", random.choice(numbers))
    step = formula.add("multiply", gate, formula.add("subtract", inner, before))
    return formula.add("add", before, step)


def _cell(name, formula, leaves, new, random, *, own, some, part) -> xpbptt.Cell:
    gates_type = namedtuple("Gates", [f"g{k}" for k in range(len(leaves.u))])  # noqa: PYI024
    state_type = namedtuple("State", ["h", *(f"s{k}" for k in range(1, len(new)))])  # noqa: PYI024
    extra_type = namedtuple("Own", [f"p{k}" for k in range(own)])  # noqa: PYI024
    shared = leaves.u is leaves.v
    by_sequence = [
        place
        for place in range(len(formula.nodes))
        if formula.ancestors(place) & {*leaves.u, *leaves.v}
    ]
    inner = [place for place in by_sequence if formula.nodes[place].operation != LEAF]
    kept = random.sample(inner, random.randint(0, min(4, len(inner))))
    from_new = [place for place in new if random.random() < 0.5]
    explicit_zero = random.random() < 0.5

    def known(state, extra):
        places = [*leaves.state, *leaves.extra]
        return dict(zip(places, [*state, *(extra or ())], strict=True))

    def forward(u, v, state, *, xp, extra=None):
        triples = zip(u, v, some, strict=True)
        if shared:
            gates = dict(zip(leaves.u, (a + b if k else a for a, b, k in triples), strict=True))
        else:
            gates = dict(zip(leaves.v, v, strict=True)) | dict(zip(leaves.u, u, strict=True))
        value = formula.values(known(state, extra) | gates, xp=xp)
        return state_type(*map(value, new)), tuple(map(value, kept))

    def back(found, dnew, xp):
        """Return the gradients by all nodes, with the values in `found`."""
        upstream = {}
        for place, d in zip(new, dnew, strict=True):
            upstream[place] = upstream[place] + d if place in upstream else d
        return formula.gradients(formula.values(found, xp=xp), upstream, xp=xp)

    def backward(residuals, state, after, dnew, *, xp, extra=None):
        found = known(state, extra) | dict(zip(kept, residuals, strict=True))
        found |= {place: part for place, part in zip(new, after, strict=True) if place in from_new}
        total = back(found, dnew, xp)
        zero = xp.zeros_like(dnew[0])
        du = gates_type(*(total.get(place, zero) for place in leaves.u))
        dv = du if shared else gates_type(*(total.get(place, zero) for place in leaves.v))
        dbefore = [total.get(place, zero) for place in leaves.state]
        if leaves.state[0] not in total and not explicit_zero:
            dbefore[0] = None
        result = du, dv, state_type(*dbefore)
        if not own:
            return result
        return *result, extra_type(*(total.get(place, zero) for place in leaves.extra))

    # The leaves that the derivative reads beside what is kept have to be kept too.
    class Watched(dict):
        read: set = set()  # noqa: RUF012

        def __getitem__(self, place):
            self.read.add(place)
            return super().__getitem__(place)

    at_hand = {*leaves.u, *leaves.v, *leaves.state, *leaves.extra, *kept, *from_new}
    number, truth = np.full((1, 1), 0.5), np.full((1, 1), fill_value=True)
    watched = Watched({k: number if formula.gives(k) == "n" else truth for k in at_hand})
    back(watched, [number] * len(new), np)
    kept += sorted((watched.read & {*leaves.u, *leaves.v}) - {*kept})

    return xpbptt.Cell(
        name,
        gates_type,
        state_type,
        forward,
        backward,
        extra=(lambda size: extra_type(*[(size,)] * own)) if own else None,
        recurrent=tuple(f"g{k}" for k, there in enumerate(some) if there),
        reads=None if part is None else state_type._fields[part],
    )
