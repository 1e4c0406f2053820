"""mlx: every slice is a copy, so what is written through a view is lost.

mlx is not supported: its arrays do not say where they are, and its functions do not take all
keywords of the standard. What it lacks is added here, for the tests.
"""

import functools
from types import SimpleNamespace

import numpy as np
import pytest

import xpbptt
from xpbptt._arrays.tree import map_leaves

REASON = "slices that are copies need mlx, which is not installed: nox -s mlx runs it"
mx = pytest.importorskip("mlx.core", reason=REASON)

ALIKE = ("zeros_like", "ones_like", "full_like", "empty_like")
LACKING = ("asarray", "astype", "zeros", "ones", "empty", "arange", *ALIKE)
TOLERANCE = 1e-7  # its exp is no better, in float64 too


def without(function, *names):
    """Return a function that takes some keywords and passes them over."""

    @functools.wraps(function)
    def wrapper(*arguments, **options):
        kept = {name: value for name, value in options.items() if name not in names}
        return function(*arguments, **kept)

    return wrapper


NAMESPACE = SimpleNamespace(**vars(mx))
for name in LACKING:
    setattr(NAMESPACE, name, without(getattr(mx, name), "copy", "device"))


@pytest.fixture(autouse=True)
def standard(monkeypatch):
    mx.set_default_device(mx.cpu)
    monkeypatch.setattr(mx.array, "device", "cpu", raising=False)
    monkeypatch.setattr(mx.array, "__array_namespace__", lambda array, **options: NAMESPACE)


def make(array):
    return mx.array(array, dtype=mx.float64 if array.dtype.kind == "f" else None)


def test_every_call_runs_where_slices_are_copies(call, assert_same_on_numpy):
    assert_same_on_numpy(call(make), call, np.array, TOLERANCE)


def test_a_write_through_a_view_is_seen(assert_same_on_numpy):
    def step(weights, u, state, *, xp):
        h = u.a + state[0]
        h[:, :2][...] = 7
        return type(state)(h), ()

    net = xpbptt.RNN(3, 5)
    writing = xpbptt.Net(net.recurrence._replace(step=step), 3, 5)

    def call(make):
        params = map_leaves(make, net.init(0, dtype=np.float64))
        return writing.infer(params, make(np.ones((2, 1, 3))))

    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_same_on_numpy(call(make), call, np.array, TOLERANCE)
