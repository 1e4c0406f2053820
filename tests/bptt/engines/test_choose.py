"""Which engine a pass takes, and why."""

import logging
from importlib import import_module

import numpy as np
import pytest

import xpbptt
from xpbptt.bptt.engines import engine

finder = import_module("xpbptt.kernels.find")

array_api = pytest.importorskip("array_api_compat.numpy")
pytest.importorskip("llvmlite", reason="nothing is compiled without llvmlite")


def choose(cell=None, kinds=("record",), dtype="float32"):
    net = xpbptt.GRU(3, 5)
    (params,) = net.init(0, dtype=dtype)
    x = np.ones((4, 2, 3), dtype=dtype)
    return engine.choose(cell or net.cell, kinds, params, x, xp=array_api)


@pytest.mark.parametrize("name", ["sequence", "stepwise", "eager"])
def test_an_engine_can_be_chosen_by_hand(name, monkeypatch):
    assert choose().name == "sequence"
    monkeypatch.setenv(engine.ENGINE, name)
    assert choose().name == name
    net = xpbptt.GRU(3, 5, num_layers=2)
    params, x = net.init(0, dtype="float64"), np.random.default_rng(0).standard_normal((6, 2, 3))
    y, state, cache = net.forward(params, x)
    grads = net.backward(cache, y, state)
    monkeypatch.delenv(engine.ENGINE)
    expected, state, cache = net.forward(params, x)
    np.testing.assert_allclose(y, expected, atol=1e-13)
    np.testing.assert_allclose(grads.x, net.backward(cache, expected, state).x, atol=1e-12)


def test_a_name_of_no_engine_is_refused(monkeypatch):
    monkeypatch.setenv(engine.ENGINE, "fastest")
    with pytest.raises(ValueError, match="XPBPTT_ENGINE=fastest"):
        choose()


def test_where_a_loop_cannot_be_built_the_next_engine_answers_and_the_log_says_why_once(
    monkeypatch, caplog
):
    module = pytest.importorskip("xpbptt.kernels.llvm.target")

    def broken(*_):
        message = "no such instruction"
        raise RuntimeError(message)

    sequence, stepwise = module.TARGET.loops
    planted = module.TARGET._replace(loops=(sequence._replace(compile=broken), stepwise))
    monkeypatch.setattr(module, "TARGET", planted)
    caches = finder._compiled, finder._target, finder._warn_once, engine._fastest
    try:
        for each in caches:
            each.cache_clear()
        monkeypatch.setattr(finder, "_kernels", {})
        with caplog.at_level(logging.INFO, "xpbptt"):
            found = [choose() for _ in range(2)]
        assert {each.name for each in found} == {"stepwise"}
        assert "no such instruction" in found[0].reason
        assert sum("no such instruction" in each.getMessage() for each in caplog.records) == 1
    finally:
        monkeypatch.undo()
        for each in caches:
            each.cache_clear()
