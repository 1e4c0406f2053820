"""The nets that are checked, and numbers for them, drawn once on the host."""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, NamedTuple

import numpy as np

import xpbptt
from xpbptt._arrays.tree import map_leaves
from xpbptt.commands.selftest.check import Setup, plural
from xpbptt.commands.selftest.switch import as_written

Namespace = Any
Tree = Any

T, B, I, H = 6, 4, 3, 5  # pairwise distinct, so that a transposed matrix cannot hide
SHARE = 0.7  # of the steps that a mask keeps

NETS: dict[str, Callable[..., xpbptt.Net]] = {
    "RNN tanh": xpbptt.RNN,
    "RNN relu": lambda *sizes, **more: xpbptt.RNN(*sizes, nonlinearity="relu", **more),
    "LSTM": xpbptt.LSTM,
    "GRU": xpbptt.GRU,
    "GRU before": lambda *sizes, **more: xpbptt.GRU(*sizes, reset_after=False, **more),
}
AS_WRITTEN = "GRU before"  # the one whose step is not only its cell
KINKED = "RNN relu"  # float16 rounds to the other side of its kink now and then
COMPILED = [name for name in NETS if name != AS_WRITTEN]


class Layout(NamedTuple):
    """How a net is put together, and whether some of its input is padding."""

    layers: int
    both: bool
    masked: bool

    def __str__(self) -> str:
        """Return it in words."""
        layers = plural(self.layers, "layer")
        return f"{layers}{', both directions' * self.both}{', masked' * self.masked}"


class Numbers(NamedTuple):
    """The arrays of a case; without a mask all of the input counts."""

    params: Tree
    x: Tree
    state: Tree
    mask: Tree
    dy: Tree
    dstate: Tree


class Case(NamedTuple):
    """A net with everything that its two passes take."""

    net: xpbptt.Net
    layout: Layout  # how it is put together
    numbers: Numbers  # the arrays, of the library that is checked
    host: Numbers  # the same numbers in float64, of NumPy


class Result(NamedTuple):
    """All that a forward and a backward pass return."""

    y: Tree
    state: Tree
    grads: Tree


def layouts(setup: Setup) -> list[Layout]:
    """Return one or two layers, in one or both directions, plain or masked; or two of the eight."""
    if setup.quick:
        return [Layout(1, both=False, masked=False), Layout(2, both=True, masked=True)]
    return [Layout(*each) for each in product((1, 2), (False, True), (False, True))]


def cases(name: str, setup: Setup, dtype: str = "float64") -> Iterator[Case]:
    """Yield a net of `NETS` in every layout."""
    return (draw(name, layout, dtype, xp=setup.xp) for layout in layouts(setup))


def draw(
    name: str, layout: Layout, dtype: str, *, xp: Namespace, steps: int = T, seed: int = 11
) -> Case:
    """Draw a case; the same numbers on every library, rounded to `dtype`."""
    random = np.random.default_rng(seed)
    net = NETS[name](I, H, layout.layers, bidirectional=layout.both)
    params = net.init(seed, dtype="float64")
    x = random.standard_normal((steps, B, I))
    with as_written():  # nothing need be compiled for the shapes
        y, state = net.infer(params, x)

    def like(array: Any) -> Any:
        return random.standard_normal(array.shape)

    mask = random.random((steps, B)) < SHARE
    mask[:, -1] = False
    drawn = Numbers(
        params,
        x,
        map_leaves(like, state),
        mask if layout.masked else None,
        like(y),
        map_leaves(like, state),
    )
    rounded = map_leaves(lambda a: a if a.dtype == bool else a.astype(dtype), drawn)
    here = map_leaves(lambda a: xp.asarray(a, copy=True), rounded)
    host = map_leaves(lambda a: a if a.dtype == bool else a.astype("float64"), rounded)
    return Case(net, layout, here, host)


def smooth(name: str, dtype: str, result: Result) -> Tree:
    """Return what of a result changes little with rounding: of `KINKED` in float16 no gradients."""
    return result[:2] if name == KINKED and dtype == "float16" else result


def train(net: xpbptt.Net, numbers: Numbers, bptt: Any = None) -> Result:
    """Run a forward and a backward pass."""
    params, x, state, mask, dy, dstate = numbers
    bptt = xpbptt.KeepAll() if bptt is None else bptt
    y, last, cache = net.forward(params, x, state, mask, bptt=bptt)
    return Result(y, last, net.backward(cache, dy, dstate))
