"""What a strategy costs, counted before anything is run."""

import logging
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import array_api_compat.numpy as np

from xpbptt._tree import leaves, map_shapes
from xpbptt.bptt.segments import CHUNK
from xpbptt.bptt.strategies import (
    Binomial,
    Budget,
    KeepAll,
    KeepStates,
    Plan,
    Segments,
    Strategy,
)

if TYPE_CHECKING:
    from xpbptt.net import Net

log = logging.getLogger("xpbptt")


class Cost(NamedTuple):
    """What a forward and backward pass without a mask will cost.

    Attributes
    ----------
    strategy : object
        The strategy, for a `Budget` the one it picked.
    bytes : int
        What `Net.forward` keeps for `Net.backward`, beside the caller's parameters and input. The
        hidden states are counted where `y` shares their memory.
    peak : int
        The most memory at any time, with what both passes use on their way; `y` and the gradients
        themselves not counted. An estimate, to within the arrays of a few steps.
    steps : int
        The time steps that are run forward, of all layers and directions.
    """

    strategy: Any
    bytes: int
    peak: int
    steps: int


class Footprint(NamedTuple):
    """The numbers that one step of one sequence makes: its state, residuals, inputs, record."""

    state: int
    residuals: int
    inputs: int
    record: int

    @property
    def ratio(self) -> float:
        """What a step of a segment needs while it is gone back over, relative to a state."""
        return sum(self) / self.state


@lru_cache
def footprint(net: "Net") -> Footprint:
    """Count by running one step of zeros."""
    cell, size = net.recurrence, net.hidden_size
    params = map_shapes(np.zeros, cell.shapes(net.input_size, size))
    state = cell.state(*(np.zeros((1, size)) for _ in cell.state._fields))
    (inputs,) = cell.project(params, np.zeros((1, 1, net.input_size)), xp=np)
    new, residuals = cell.step(cell.prepare(params, 1, xp=np), inputs, state, xp=np)
    record, _ = cell.step_backward(params, residuals, state, new, state, xp=np)
    trees = (tuple(state), tuple(residuals), inputs, tuple(record))
    return Footprint(*(sum(leaf.size for _, leaf in leaves(tree)) for tree in trees))


def make_plan(net: "Net", length: int, batch: int, itemsize: int, bptt: Strategy) -> Plan:
    """Return the plan of a strategy for a sequence."""
    if isinstance(bptt, Budget):
        bptt = cost(net, length, batch, itemsize, bptt).strategy
        log.info("the budget is met by %r", bptt)
    return bptt.plan(length, lambda: footprint(net).ratio)


def cost(net: "Net", length: int, batch: int, itemsize: int, bptt: Strategy) -> Cost:
    """Return what a strategy costs for a sequence."""
    if isinstance(bptt, Budget):
        return _within(net, length, batch, itemsize, bptt.bytes)
    one = footprint(net)
    plan = bptt.plan(length, lambda: one.ratio)
    runs = net.num_layers * net.directions
    between = (net.num_layers - 1) * _between(net, length, plan)
    kept = batch * itemsize * (runs * _kept(plan, length, one) + between)
    working = batch * itemsize * _working(plan, length, one)
    return Cost(bptt, kept, kept + working, runs * plan.steps(length))


def _kept(plan: Plan, length: int, one: Footprint) -> int:
    """Count the numbers that a layer keeps of one sequence in one direction."""
    tail = length - plan.tail
    residuals = tail * one.residuals if plan.residuals else 0
    return len(plan.snapshots) * one.state + (tail + 1) * one.state + residuals


def _between(net: "Net", length: int, plan: Plan) -> int:
    """Count the numbers that a layer keeps of the output of the one below."""
    if net.bidirectional:
        return 2 * length * net.hidden_size
    return 0 if plan.tail == 0 else (length + 1) * net.hidden_size


def _working(plan: Plan, length: int, one: Footprint) -> int:
    """Count the numbers that going back over the longest segment needs beside what is kept."""
    longest = max((move.stop - move.start for move in plan.moves()), default=0)
    again = any(map(plan.runs_again, plan.moves()))
    records = longest * one.record
    if not plan.residuals:
        return records + longest * (one.residuals + 2 * one.inputs)
    if not again:
        return max(records, length * one.inputs)
    segment = longest * (one.residuals + one.inputs) + (longest + 1) * one.state
    return max(segment + records, min(CHUNK, length) * one.inputs)


def _within(net: "Net", length: int, batch: int, itemsize: int, budget: int) -> Cost:
    """Return the cost of the fastest strategy whose peak is within the budget."""
    for strategy in (KeepAll(), KeepStates(), Segments()):
        found = cost(net, length, batch, itemsize, strategy)
        if found.peak <= budget:
            return found
    least = cost(net, length, batch, itemsize, Binomial(1))
    if least.peak > budget:
        message = (
            f"`bptt` has a budget of {budget} bytes, but the least possible is {least.peak}, "
            f"with {least.strategy}, for T = {length}, B = {batch} in {net}"
        )
        raise ValueError(message)
    one = net.num_layers * net.directions * batch * itemsize * footprint(net).state
    snapshots = min(1 + (budget - least.peak) // one, max(length - 1, 1))
    return cost(net, length, batch, itemsize, Binomial(snapshots))


def check_strategy(bptt: object) -> None:
    """Refuse what is no strategy, the class in place of its value too."""
    if isinstance(bptt, type) or not callable(getattr(bptt, "plan", None)):
        message = f"`bptt` must be a strategy, as KeepAll() or Segments(), got {bptt!r}"
        raise TypeError(message)


def itemsize(dtype: Any, *, xp: Any) -> int:
    """Return the bytes of a number of an array's dtype."""
    parts = 2 if xp.isdtype(dtype, "complex floating") else 1
    return int(parts * xp.finfo(dtype).bits) // 8


def dtype_bytes(dtype: Any) -> int:
    """Return the bytes of a number, from the name of its dtype in any library."""
    name = getattr(dtype, "__name__", str(dtype)).rpartition(".")[2]  # torch.float32: float32
    found = re.fullmatch(r"(b?float|complex)(\d+)", name)
    if not found:
        message = f"`dtype` must be a floating-point dtype or its name, as 'float32', got {dtype!r}"
        raise TypeError(message)
    return int(found[2]) // 8
