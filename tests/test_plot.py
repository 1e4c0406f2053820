"""The picture of a gradient's flow: every norm is in it, at its place."""

import sys

import numpy as np
import pytest

import xpbptt
from xpbptt.plot import gradient_flow


def traced(net, xp, steps=9):
    params = net.init(0, xp=xp)
    x = xp.ones((steps, 2, 3), dtype=xp.float32)
    y, state, cache = net.forward(params, x)
    return net.backward(cache, y, state, trace=True)[1]


@pytest.mark.parametrize(("layers", "both"), [(1, False), (3, False), (2, True)])
def test_a_panel_for_each_layer_and_direction_with_every_norm(xp, layers, both):
    trace = traced(xpbptt.LSTM(3, 5, layers, bidirectional=both), xp)
    figure = gradient_flow(trace)
    assert len(figure.axes) == layers * (1 + both)
    panels = {axis.get_title(loc="left"): axis for axis in figure.axes}
    for number, layer in enumerate(trace):
        for one, name in zip(layer if both else (layer,), ("forward", "backward"), strict=False):
            title = f"layer {number}" + (f", {name} direction" if both else "")
            lines = {line.get_label(): line.get_ydata() for line in panels[title].lines}
            assert list(lines) == ["h", "c", "gate i", "gate f", "gate g", "gate o"]
            np.testing.assert_allclose(lines["c"], [float(n) for n in one.state.c])
            np.testing.assert_allclose(lines["gate o"], [float(n) for n in one.gates.o])
            assert panels[title].get_yscale() == "log"
    last_on_top = figure.axes[0].get_title(loc="left")
    assert last_on_top.startswith(f"layer {layers - 1}")


def test_a_zero_leaves_a_gap():
    net = xpbptt.GRU(3, 5)
    y, _, cache = net.forward(net.init(0), np.ones((6, 2, 3), dtype=np.float32))
    dy = np.zeros_like(y)
    dy[2] = 1
    figure = gradient_flow(net.backward(cache, dy, trace=True)[1])
    (h, *_) = figure.axes[0].lines
    assert np.isnan(h.get_ydata()).tolist() == [False] * 3 + [True] * 3


def test_it_saves(tmp_path):
    file = tmp_path / "flow.png"
    gradient_flow(traced(xpbptt.RNN(3, 5), np)).savefig(file)
    assert file.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("bad", [None, (), {}, (1,), ((None,),), traced(xpbptt.RNN(3, 5), np)[0]])
def test_what_is_no_trace(bad):
    with pytest.raises(TypeError, match="`trace` must be the tuple of Trace"):
        gradient_flow(bad)


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "\.\[plot\]" in a checkout of xp'):
        gradient_flow(traced(xpbptt.RNN(3, 5), np))
