"""How the backward pass pays for memory: values that the one loop over time is given.

Going back over a step needs the states around it and its residuals. They can be kept from the
forward pass, or computed again from a state that was kept, a *snapshot*. A strategy answers with a
`Plan`: which states to keep on the way forward, and by which moves to come back.
"""

from xpbptt.bptt.strategies.binomial import Binomial
from xpbptt.bptt.strategies.budget import Budget
from xpbptt.bptt.strategies.keep import KeepAll, KeepStates, Truncated
from xpbptt.bptt.strategies.plan import Memory, Move, Plan, Strategy
from xpbptt.bptt.strategies.segments import Segments

__all__ = [
    "Binomial",
    "Budget",
    "KeepAll",
    "KeepStates",
    "Memory",
    "Move",
    "Plan",
    "Segments",
    "Strategy",
    "Truncated",
]
