"""What a strategy costs, counted before anything is run."""

import re
from typing import Any, NamedTuple

from xpbptt.bptt.strategies import Strategy
from xpbptt.nets.stack.memory import Memory


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


def cost(memory: Memory, bptt: Strategy) -> Cost:
    """Return what a strategy costs for a sequence."""
    length, size = memory.sizes.length, memory.sizes.itemsize
    plan = bptt.plan(length, memory)
    needs = memory.needs(plan)
    steps = needs.runs * plan.steps(length)
    return Cost(plan.picked or bptt, size * needs.kept, memory.peak(plan), steps)


def check_strategy(bptt: object) -> None:
    """Refuse what is no strategy, the class in place of its value too."""
    if isinstance(bptt, type) or not callable(getattr(bptt, "plan", None)):
        message = f"`bptt` must be a strategy, as KeepAll() or Segments(), got {bptt!r}"
        raise TypeError(message)


def dtype_bytes(dtype: Any) -> int:
    """Return the bytes of a number, from the name of its dtype in any library."""
    name = getattr(dtype, "__name__", str(dtype)).rpartition(".")[2]  # torch.float32: float32
    found = re.fullmatch(r"(b?float|complex)(\d+)", name)
    if not found:
        message = f"`dtype` must be a floating-point dtype or its name, as 'float32', got {dtype!r}"
        raise TypeError(message)
    return int(found[2]) // 8
