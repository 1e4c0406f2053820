"""What a strategy costs, counted before anything is run."""

import logging
import re
from typing import Any, NamedTuple

from xpbptt.bptt.strategies import (
    Binomial,
    Budget,
    KeepAll,
    KeepStates,
    Plan,
    Segments,
    Strategy,
)
from xpbptt.nets.memory import Memory, footprint
from xpbptt.nets.stack import Stack

SINGLE_BYTES = 4

log = logging.getLogger("xpbptt")


class Cost(NamedTuple):
    """What a forward and backward pass will cost.

    Attributes
    ----------
    strategy : object
        The strategy, for a `Budget` the one it picked.
    bytes : int
        What `Net.forward` keeps for `Net.backward`, beside the caller's parameters and input. The
        hidden states are counted where `y` shares their memory.
    peak : int
        The most memory at any time, with what both passes use on their way, beside the caller's
        arrays, `y` and the gradients that are returned. An estimate, to within the arrays of a
        few steps, for libraries whose `flip` is a view; compiled cells on the CPU take less with
        `KeepAll`.
    steps : int
        The time steps that are run forward, of all layers and directions.
    """

    strategy: Any
    bytes: int
    peak: int
    steps: int


def make_plan(
    net: Stack, length: int, batch: int, itemsize: int, bptt: Strategy, *, masked: bool
) -> Plan:
    """Return the plan of a strategy for a sequence."""
    if isinstance(bptt, Budget):
        bptt = cost(net, length, batch, itemsize, bptt, masked=masked).strategy
        log.info("the budget is met by %r", bptt)
    return bptt.plan(length, lambda: footprint(net).ratio)


def cost(
    net: Stack, length: int, batch: int, itemsize: int, bptt: Strategy, *, masked: bool
) -> Cost:
    """Return what a strategy costs for a sequence."""
    if isinstance(bptt, Budget):
        return _within(net, length, batch, itemsize, bptt.bytes, masked=masked)
    plan = bptt.plan(length, lambda: footprint(net).ratio)
    memory = Memory(net, plan, length, batch, masked=masked, half=itemsize < SINGLE_BYTES)
    runs = net.num_layers * net.directions
    steps = runs * plan.steps(length)
    return Cost(bptt, itemsize * memory.kept, itemsize * memory.peak, steps)


def _within(
    net: Stack, length: int, batch: int, itemsize: int, budget: int, *, masked: bool
) -> Cost:
    """Return the cost of the fastest strategy whose peak is within the budget."""

    def of(strategy: Strategy) -> Cost:
        return cost(net, length, batch, itemsize, strategy, masked=masked)

    plain = [of(KeepAll()), of(KeepStates()), of(Segments())]
    for found in plain:
        if found.peak <= budget:
            return found

    def peak(snapshots: int) -> int:
        plan = Binomial(snapshots).plan(length, lambda: 1.0)
        memory = Memory(net, plan, length, batch, masked=masked, half=itemsize < SINGLE_BYTES)
        return itemsize * memory.peak

    one = max(net.num_layers * net.directions * batch * itemsize * footprint(net).state, 1)
    most = max(length - 1, 1)  # more are of no use
    rest = peak(most) - most * one  # fewer leave no less for the rest, as they are further apart
    for snapshots in range(min((budget - rest) // one, most), 0, -1):
        if peak(snapshots) <= budget:
            return of(Binomial(snapshots))
    best = min(plain, key=lambda found: found.peak)
    least, strategy = best.peak, best.strategy
    for snapshots in range(1, most + 1):
        if snapshots * one + rest > least:
            break
        if peak(snapshots) < least:
            least, strategy = peak(snapshots), Binomial(snapshots)
    message = (
        f"`bptt` has a budget of {budget} bytes, but the least possible is {least}, "
        f"with {strategy}, for T = {length}, B = {batch} in {net}"
    )
    raise ValueError(message)


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
