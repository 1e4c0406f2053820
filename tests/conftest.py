"""What several test files share: the nets under test and arrays to feed them."""

import re
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from helpers import CELLS, flatten, map_arrays

import xpbptt

T, B, I, H = 6, 4, 3, 5  # pairwise distinct, so that a transposed matrix cannot hide


@pytest.fixture(scope="session", autouse=True)
def ctrl_c():
    """Have Ctrl-C raise KeyboardInterrupt also where it is ignored: in a script's background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session", autouse=True)
def many_cells():
    """Let the many cells of the tests be compiled in one process."""
    import_module("xpbptt.kernels.find").MOST = 10**6


@pytest.fixture(scope="module", autouse=True)
def few_programs():
    """Have JAX forget after each file what it compiled.

    Among thousands of programs the next takes half as long again to compile, and a process that
    keeps them all takes gigabytes and has crashed.
    """
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()


class Case(NamedTuple):
    """A net with float64 inputs and upstream gradients for all of its outputs."""

    net: xpbptt.Net
    params: tuple
    x: object
    state: tuple
    dy: object
    dstate: tuple


# Every cell, with each number of layers in one direction and in both.
NETS = {
    "rnn-tanh-1layer-forward": CELLS["rnn-tanh"](I, H),
    "rnn-relu-2layer-forward": CELLS["rnn-relu"](I, H, 2),
    "lstm-2layer-both": CELLS["lstm"](I, H, 2, bidirectional=True),
    "gru-1layer-both": CELLS["gru"](I, H, bidirectional=True),
    "gru-before-2layer-both": CELLS["gru-before"](I, H, 2, bidirectional=True),
}


@pytest.fixture(params=NETS)
def net(request):
    return NETS[request.param]


@pytest.fixture
def normal(xp):
    """Draw an array of the standard normal distribution; the same numbers on every library."""
    random = np.random.default_rng(20)
    return lambda *shape: xp.asarray(random.standard_normal(shape), dtype=xp.float64)


@pytest.fixture
def half(xp):
    """Make an array in half precision."""
    if not hasattr(xp, "float16"):
        pytest.skip("the standard has no float16, and this library nothing beyond the standard")
    return lambda array: xp.asarray(array, dtype=xp.float16)


@pytest.fixture
def make_case(xp, normal):
    """Make inputs for a net, with a sequence of any length and a batch of any size."""

    def make(net, steps=T, batch=B):
        params = net.init(1, xp=xp, dtype=xp.float64)
        x = normal(steps, batch, net.input_size)
        _, like = net.infer(params, x)
        width = net.directions * net.hidden_size
        draw = lambda: map_arrays(lambda a: normal(*a.shape), like)  # noqa: E731
        return Case(net, params, x, draw(), normal(steps, batch, width), draw())

    return make


@pytest.fixture
def case(net, make_case):
    return make_case(net)


@pytest.fixture(scope="session")
def tree_map():
    return map_arrays


@pytest.fixture(scope="session")
def arrays():
    return flatten


@pytest.fixture
def assert_close(xp):
    """Compare two trees: structure, library, dtype and shape first, then values."""

    def check(actual, expected, tolerance=1e-12):
        found, wanted = flatten(actual), flatten(expected)
        assert len(found) == len(wanted)
        for a, b in zip(found, wanted, strict=True):
            assert type(a) is type(b)
            assert a.dtype == b.dtype
            assert a.shape == b.shape
            scale = float(xp.max(xp.abs(b))) if 0 not in b.shape else 1.0
            difference = float(xp.max(xp.abs(a - b))) if 0 not in b.shape else 0.0
            assert difference <= tolerance * max(1.0, scale)

    return check


@pytest.fixture(scope="session")
def examples():
    """Return the Python code of a page of the documentation, block by block."""

    def of(page):
        text = (Path(__file__).parents[1] / "docs" / f"{page}.md").read_text(encoding="utf-8")
        return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)

    return of
