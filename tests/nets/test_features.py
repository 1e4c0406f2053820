"""Every pair of what a pass may be given, over cells, engines, strategies: compiled and eager."""

import os
from typing import NamedTuple
from unittest.mock import patch

import array_api_compat
import numpy as np
import pytest
from helpers import CELLS, cover, flatten, host, map_arrays

import xpbptt
from xpbptt.cells import sigmoid


class Gates(NamedTuple):
    f: object
    g: object


class State(NamedTuple):
    h: object
    c: object


def forward(u, v, state, *, xp):
    """The forget gate reads c by the product, the candidate the input alone."""
    f, g = sigmoid(u.f + v.f, xp=xp), xp.tanh(u.g)
    c = f * state.c + (1 - f) * g
    return State(xp.tanh(c), c), (f, g)


def backward(residuals, state, new, dnew, *, xp):
    f, g = residuals
    dc = dnew.c + dnew.h * (1 - new.h * new.h)
    du = Gates(dc * (state.c - g) * f * (1 - f), dc * (1 - f) * (1 - g * g))
    return du, du, State(None, dc * f)


def free_forward(u, v, state, *, xp):
    return forward(u, Gates(0 * u.f, None), state, xp=xp)


def made(name, *sizes, **options):
    """Return a net of a cell, of which some have no product or one that reads another part."""
    if name in CELLS:
        return CELLS[name](*sizes, **options)
    if name == "time":
        return xpbptt.CfC(*sizes, **options)
    if name == "heads":
        inputs, hidden, layers = sizes
        hidden = tuple(2 * k for k in hidden) if isinstance(hidden, tuple) else 2 * hidden
        return xpbptt.Net(xpbptt.cells.LSTM._replace(heads=2), inputs, hidden, layers, **options)
    kinds = {"some": {"recurrent": ("f",), "reads": "c"}, "none": {"recurrent": ()}}
    functions = (free_forward if name == "none" else forward, backward)
    if name == "none":
        options.pop("recurrent_dropout", None)
    return xpbptt.Net(xpbptt.Cell(name, Gates, State, *functions, **kinds[name]), *sizes, **options)


T, B, I = 7, 5, 3
PLANS = [
    xpbptt.KeepAll(),
    xpbptt.KeepStates(),
    xpbptt.Segments(3),
    xpbptt.Binomial(2),
    xpbptt.Truncated(3),
]
NOISE = [
    {},
    {"dropout": 0.3},
    {"recurrent_dropout": 0.4},
    {"zoneout": 0.3},
    {"recurrent_dropout": 0.2, "zoneout": 0.3},
]
SHAPES = [(5, 1, False), (17, 2, True), ((9, 4), 2, False), (33, 2, False)]


def run(net, given, bptt, options, watched):
    """Return all that the passes give, as a list of arrays."""
    params, x, state, mask, more, dy, dstate, dstates = given
    seed = {"dropout_seed": 4} if net.draws else {}
    wanted = {"states": True} if dstates is not None else {}
    given = params, x, state, mask
    y, last, cache, *every = net.forward(*given, **more, bptt=bptt, **seed, **wanted)
    back = {} if dstates is None else {"dstates": dstates}
    found = net.backward(cache, dy, dstate, **back, **watched, **options)
    inferred = net.infer(*given, **more, **wanted)
    arrays = flatten((y, last, tuple(every), tuple(found), inferred))
    return [host(array) for array in arrays if array is not None]


@cover(
    "name, engine, bptt, masked, reset, states, noise, shape, watched, per_sample",
    [*CELLS, "some", "none", "time", "heads"],
    ["stepwise", "sequence"],
    PLANS,
    [False, True],
    ["no", "first", "other"],
    [False, True],
    NOISE,
    SHAPES,
    [{}, {"trace": True, "clip_step": 0.3}],
    [False, True],
)
def test_every_pair(
    xp, name, engine, bptt, masked, reset, states, noise, shape, watched, per_sample
):
    if engine == "stepwise" and not array_api_compat.is_numpy_namespace(xp):
        pytest.skip("there is one engine on this library; `sequence` stands for it")
    hidden, layers, both = shape
    if layers == 1:
        noise = {key: value for key, value in noise.items() if key != "dropout"}
    net = made(name, I, hidden, layers, bidirectional=both, **noise)
    random = np.random.default_rng(0)
    normal = lambda a: xp.asarray(random.standard_normal(a.shape))  # noqa: E731
    params = net.init(1, xp=xp, dtype=xp.float64)
    x = xp.asarray(random.standard_normal((T, B, I)))
    time = {"dt": xp.asarray(random.random((T, B)))} if name == "time" else {}
    y, like, every = net.infer(params, x, states=True, **time)
    state, other, dstate, dstates, dy = (
        map_arrays(normal, each) for each in (like, like, like, every, y)
    )
    mask = xp.asarray(random.random((T, B)) < 0.7) if masked else None
    marks = xp.asarray(random.random((T, B)) < 0.3)
    resets = {"no": {}, "first": {"reset": marks}, "other": {"reset": marks, "initial": other}}
    given = params, x, state, mask, resets[reset] | time, dy, dstate, dstates if states else None
    plain = bptt if isinstance(bptt, xpbptt.Truncated) else xpbptt.KeepAll()
    options = {"per_sample": True} if per_sample else {}
    with patch.dict(os.environ, XPBPTT_ENGINE="eager"):
        expected = run(net, given, plain, options, watched)
    forced = {"XPBPTT_ENGINE": engine} if array_api_compat.is_numpy_namespace(xp) else {}
    with patch.dict(os.environ, forced):
        found = run(net, given, bptt, options, watched)
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12 * max(1, np.abs(b).max(initial=0)))
