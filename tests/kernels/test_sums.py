"""Sums over the hidden units; a step at a time, on CUDA a block for each sequence."""

from typing import Any, NamedTuple

import pytest

import xpbptt
from xpbptt.bptt import loop
from xpbptt.testing import laws


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("hidden", [5, 130])
@pytest.mark.usefixtures("compiler")
def test_a_step_with_sums_is_compiled(dtype, hidden, cells, xp, monkeypatch):
    """130 units are more than the threads of a block; the law compares with the eager cell."""
    chosen, choose = [], loop.choose

    def noted(*arguments, **options):
        engine = choose(*arguments, **options)
        chosen.append(engine.name)
        return engine

    monkeypatch.setattr(loop, "choose", noted)
    monkeypatch.setenv("XPBPTT_ENGINE", "stepwise")
    laws.engines(xpbptt.Net(cells["norm"], 3, hidden), xp=xp, dtype=dtype)
    assert "stepwise" in chosen


class Gates(NamedTuple):
    a: Any
    o: Any


class State(NamedTuple):
    h: Any
    c: Any


def forward(u, v, state, *, xp):
    """Compute c' = c / 2 + u_a - mean(u_a) and h' = tanh(u_o + v_o) + v_a."""
    c = 0.5 * state.c + u.a - xp.mean(u.a, axis=-1, keepdims=True)
    t = xp.tanh(u.o + v.o)
    return State(t + v.a, c), (t,)


def backward(residuals, state, new, dnew, *, xp):
    (t,) = residuals
    do = dnew.h * (1 - t * t)
    centred = dnew.c - xp.mean(dnew.c, axis=-1, keepdims=True)
    return Gates(centred, do), Gates(dnew.h, do), State(None, 0.5 * dnew.c)


@pytest.mark.usefixtures("compiler")
def test_a_gradient_is_read_after_the_sum_and_before_it_is_overwritten(xp):
    net = xpbptt.Net(xpbptt.Cell("centred", Gates, State, forward, backward), 3, 5)
    laws.derivative(net, xp=xp)
    laws.engines(net, xp=xp)
