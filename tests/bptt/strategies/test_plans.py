"""Plans: what they say in numbers, a budget at any length, and strategies of a user's own."""

import time
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest

import xpbptt
from xpbptt import Binomial, Budget, KeepAll, KeepStates, Segments, Truncated
from xpbptt.bptt.strategies import Memory, Plan

LONG = 100_000


class Fixed:
    """The memory of a net where all that is kept of a step is five states."""

    ratio = 5.0

    def peak(self, plan: Plan) -> int:
        raise AssertionError


@pytest.mark.parametrize(
    "bptt",
    [
        *(KeepAll(), KeepStates(), Truncated(4), Segments(), Segments(1), Segments(7)),
        *map(Binomial, (1, 2, 3, 5, 30, 31, 32, 33, 64, 65, 100)),
    ],
    ids=repr,
)
def test_a_plan_says_in_numbers_what_its_moves_do(bptt):
    for length in (0, 1, 2, 3, 31, 32, 33, 40, 65):
        plan = bptt.plan(length, Fixed())
        moves = list(plan.moves())
        assert plan.again == sum(m.stop - m.source for m in moves if plan.runs_again(m))
        assert plan.sweeps == any(move.start > move.source for move in moves)
        assert plan.longest == max(move.stop - move.start for move in moves)
        marks = tuple(plan.snapshots)
        assert len(plan.snapshots) == len(marks)
        assert all(a < b for a, b in pairwise(marks))
        assert all(mark in plan.snapshots for mark in marks)
        assert length not in plan.snapshots


def test_more_snapshots_take_more_memory_and_fewer_steps():
    """What the search within a budget rests on."""
    for net in (xpbptt.LSTM(3, 5), xpbptt.GRU(3, 5, 2, dropout=0.5, bidirectional=True)):
        for masked in (False, True):
            costs = [net.cost(40, 4, bptt=Binomial(s), masked=masked) for s in range(1, 40)]
            for few, more in pairwise(costs):
                assert few.peak <= more.peak
                assert few.steps > more.steps


@pytest.mark.parametrize(
    "net",
    [xpbptt.RNN(3, 1, 2, dropout=0.5), xpbptt.LSTM(3, 5), xpbptt.GRU(64, 1, bidirectional=True)],
    ids=str,
)
def test_a_budget_answers_at_once_at_any_length(net):
    net.cost(LONG, 4)  # counts one step, once for all
    start = time.perf_counter()
    with pytest.raises(ValueError, match="for T = 100000, B = 4 in") as no:
        net.cost(LONG, 4, bptt=Budget(1))
    least = int(str(no.value).split("the least possible is ")[1].split(",")[0])
    with pytest.raises(ValueError, match=f"the least possible is {least}, with"):
        net.cost(LONG, 4, bptt=Budget(least - 1))
    assert net.cost(LONG, 4, bptt=Budget(least)).peak == least
    assert time.perf_counter() - start < 1


def test_a_tight_budget_picks_the_most_snapshots_that_fit_at_any_length():
    net = xpbptt.LSTM(3, 5)
    limit = net.cost(LONG, 4, bptt=Segments()).peak - 1
    found = net.cost(LONG, 4, bptt=Budget(limit))
    assert isinstance(found.strategy, Binomial)
    assert found == net.cost(LONG, 4, bptt=found.strategy)
    more = net.cost(LONG, 4, bptt=Binomial(found.strategy.snapshots + 1))
    assert found.peak <= limit < more.peak


@dataclass(frozen=True)
class Cheapest:
    """The segments that take least memory, of a few lengths: a strategy of a user's own."""

    lengths: tuple[int, ...]

    def plan(self, length: int, memory: Memory) -> Plan:
        def peak(each: Segments) -> int:
            return memory.peak(each.plan(length, memory))

        found = min(map(Segments, self.lengths), key=peak)
        return found.plan(length, memory)._replace(picked=found)


def test_a_strategy_of_ones_own_is_told_what_plans_take():
    net, lengths = xpbptt.LSTM(3, 5), (1, 10, 50)
    costs = [net.cost(50, 4, bptt=Segments(k)) for k in lengths]
    best = min(costs, key=lambda cost: cost.peak)
    assert best.strategy == Segments(10)
    assert net.cost(50, 4, bptt=Cheapest(lengths)) == best
    params, x = net.init(0, dtype="float64"), np.ones((50, 4, 3))
    grads = []
    for bptt in (KeepAll(), Cheapest(lengths)):
        y, _, cache = net.forward(params, x, bptt=bptt)
        grads.append(net.backward(cache, y).params[0].weight_hh)
    np.testing.assert_allclose(*grads, rtol=1e-12)
