"""The nets that are checked."""

from collections.abc import Callable
from itertools import product

import xpbptt
from xpbptt.commands.selftest.check import Setup

I, H = 3, 5  # different from each other and from T and B of `laws.sample.draw`

NETS: dict[str, Callable[..., xpbptt.Net]] = {
    "RNN tanh": xpbptt.RNN,
    "RNN relu": lambda *sizes, **more: xpbptt.RNN(*sizes, nonlinearity="relu", **more),
    "LSTM": xpbptt.LSTM,
    "GRU": xpbptt.GRU,
    "GRU before": lambda *sizes, **more: xpbptt.GRU(*sizes, reset_after=False, **more),
}
EAGER = "GRU before"  # the one whose step is not only its cell
KINKED = "RNN relu"  # float16 rounds to the other side of its kink now and then
COMPILED = [name for name in NETS if name != EAGER]


def nets(name: str, setup: Setup) -> list[xpbptt.Net]:
    """Return a net with one and two layers, in one and both directions; or two of the four."""
    every = list(product((1, 2), (False, True)))
    layouts = [every[0], every[-1]] if setup.quick else every
    return [NETS[name](I, H, layers, bidirectional=both) for layers, both in layouts]
