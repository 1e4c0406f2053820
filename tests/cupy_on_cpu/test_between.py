"""Resets and recurrent dropout in the launch of a whole sequence: what is done between steps."""

from importlib import import_module

import cupy
import numpy as np
import pytest
from helpers import cover, host

import xpbptt
from cupy_on_cpu import ORDERS, Hang, order
from xpbptt._arrays.tree import leaves, map_leaves
from xpbptt.bptt.engines import engine
from xpbptt.kernels.cuda import free, group, sequence

I, T = 3, 7
CELLS = import_module("kernels.conftest").CELLS
TOLERANCE = {"float16": 5e-3, "float32": 2e-6, "float64": 1e-13}
NOISE = {"quiet": {}, "drops": {"recurrent_dropout": 0.4}, "zones": {"zoneout": 0.3}}


@pytest.fixture
def planning(monkeypatch, forget):
    """Have every plan be one of so many blocks, and of a product of so many sequences at once."""

    def planned(blocks, some):
        def chosen(of, sizes):
            found = real(of._replace(processors=7), sizes)
            found = [each for each in found if each.blocks == blocks]
            most = max(each.tile.batch for each in found)
            return [each for each in found if each.tile.batch == min(some, most)]

        monkeypatch.setattr(sequence, "plans", chosen)
        monkeypatch.setattr(sequence, "refusal", lambda *_: "")
        forget()

    real = sequence.plans
    yield planned
    forget()


def given(net, batch, dtype, *, masked):
    """Return what a pass takes; about a third of the steps begin again, the first among them."""
    random = np.random.default_rng(3)
    draw = lambda *shape: cupy.asarray(random.standard_normal(shape).astype(dtype))  # noqa: E731
    params, x = net.init(1, xp=cupy, dtype=dtype), draw(T, batch, I)
    y, like = net.infer(params, x)
    state, other, dstate = (map_leaves(lambda part: draw(*part.shape), like) for _ in range(3))
    reset = random.random((T, batch)) < 0.3
    reset[0, 0] = reset[T - 1, -1] = True
    mask = cupy.asarray(random.random((T, batch)) < 0.7) if masked else None
    return params, x, state, mask, cupy.asarray(reset), other, draw(*y.shape), dstate


def everything(net, arrays, *, bptt=None, resets=True, **options):
    """Return all numbers of a pass: forward, back and inference."""
    params, x, state, mask, reset, other, dy, dstate = arrays
    more = {"reset": reset, "initial": other} if resets else {}
    seed = {"dropout_seed": 5} if net.draws else {}
    bptt = bptt or xpbptt.KeepAll()
    y, last, cache = net.forward(params, x, state, mask, bptt=bptt, **more, **seed)
    grads = net.backward(cache, dy, dstate, **options)
    found = y, last, grads, net.infer(params, x, state, mask, **more)
    return [host(leaf) for _, leaf in leaves(found) if leaf is not None]


@cover(
    ("cell", "hidden", "batch", "blocks", "some", "dtype", "masked", "noise", "resets", "options"),
    ("lstm", "gru", "own", "free", "some", "bare"),
    (1, 8, 13),
    (1, 5),
    (1, 3),
    (1, 4),
    ("float16", "float32", "float64"),
    (False, True),
    tuple(NOISE),
    (False, True),
    ({}, {"bptt": xpbptt.Truncated(2)}, {"trace": True}, {"bptt": xpbptt.Segments(3)}),
)
def test_the_numbers_are_those_of_a_step_at_a_time(
    cell, hidden, batch, blocks, some, dtype, masked, noise, resets, options,
    planning, monkeypatch, counting,
):  # fmt: skip
    noise = "zones" if cell == "free" and noise == "drops" else noise  # it has no product
    net = xpbptt.Net(CELLS[cell], I, hidden, bidirectional=True, **NOISE[noise])
    arrays = given(net, batch, dtype, masked=masked)
    monkeypatch.setenv(engine.ENGINE, "stepwise")
    expected = everything(net, arrays, resets=resets, **options)
    monkeypatch.setenv(engine.ENGINE, "sequence")
    planning(min(blocks, hidden), some)
    with counting() as count:
        found = everything(net, arrays, resets=resets, **options)
    assert not any(name.endswith(("_record", "_back")) and "sequence" not in name
                   for name in count.launches)  # fmt: skip
    for ours, theirs in zip(found, expected, strict=True):
        assert not np.isnan(ours).any()
        scale = max(1, np.abs(theirs).max(initial=0))
        assert np.abs(ours - theirs).max(initial=0) <= TOLERANCE[dtype] * scale


@pytest.mark.parametrize("masked", [False, True])
def test_one_launch_each_way(masked, monkeypatch, counting):
    monkeypatch.delenv(engine.ENGINE, raising=False)
    net = xpbptt.LSTM(I, 5, bidirectional=True, recurrent_dropout=0.3)
    arrays = given(net, 4, "float32", masked=masked)
    params, x, _, mask, reset, *_ = arrays
    answers = net.engine(params, x, mask, reset=reset)
    assert {answer[:] for answer in answers} == {("sequence", "")}
    everything(net, arrays)
    with counting() as count:
        everything(net, arrays)
    ours = [number for name, number in count.launches.items() if name.startswith("xpbptt_")]
    assert ours == [1, 1, 1]


def test_the_same_bytes_in_every_order(planning):
    net = xpbptt.LSTM(I, 13, recurrent_dropout=0.4)
    arrays = given(net, 5, "float32", masked=True)
    planning(3, 2)
    expected = everything(net, arrays)
    for name in ORDERS:
        with order(name, 1):
            found = everything(net, arrays)
        assert all(a.tobytes() == b.tobytes() for a, b in zip(found, expected, strict=True)), name


FAULTS = {  # the kernel, what stands there, what stands there instead
    "the product reads the state": ("group", "reset[t * B + row] ? ", "false ? "),
    "the product reads the first state": ("group", "initial_h + row * H", "initial_h + k0 * H"),
    "the factors are those of a unit": ("group", "factors[row * H + k]", "factors[row * H]"),
    "nothing is handed to the initial state": ("group", "dinitial_h[b * H + j] = ", "float no = "),
    "it is handed on as well": ("group", " product = 0; }", " }"),
    "the other parts go on": ("group", "dstate_c[b * H + j] = 0.0f; }", "}"),
    "a reset of another step": ("group", "reset[(t + 1) * B + b]", "reset[t * B + b]"),
    "the product is not scaled back": ("group", "product *= factors", "0 * factors"),
    "free: nothing is handed on": ("free", "now_dstate_h = 0; }", "}"),
    "free: the first step is left out": ("free", "if (reset[b])", "if (false)"),
    "free: a reset of another step": ("free", "reset[(t + 1) * batch + b]", "reset[t * batch + b]"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_caught(name, planning, monkeypatch):
    which, old, new = FAULTS[name]
    module = {"free": free, "group": group}[which]
    options = {} if which == "free" else NOISE["drops"]
    net = xpbptt.Net(CELLS["free" if which == "free" else "lstm"], I, 13, **options)
    arrays = given(net, 5, "float32", masked=False)
    planning(3, 2)
    expected = everything(net, arrays)
    real, planted = module.source, []

    def source(*arguments):
        text = real(*arguments)
        planted.append(old in text)
        return text.replace(old, new).replace("k0", "0")

    monkeypatch.setattr(module, "source", source)
    finding = import_module("xpbptt.kernels.find")
    monkeypatch.setattr(finding, "_kernels", {})
    caches = finding._compiled, engine._fastest
    for cache in caches:
        cache.cache_clear()
    try:
        found = everything(net, arrays)
    except Hang:
        found = None
    finally:
        for cache in caches:
            cache.cache_clear()
    assert any(planted)
    tolerance = {"rtol": 0, "atol": 1e-4}
    same = found and all(np.allclose(a, b, **tolerance) for a, b in zip(found, expected))  # noqa: B905
    assert not same
