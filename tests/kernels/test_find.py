"""What is compiled, what is not, and what is said about it."""

from importlib import import_module

import numpy as np
import pytest

import xpbptt
from xpbptt.bptt.engines import engine
from xpbptt.cells import LSTM
from xpbptt.cells.elementwise import recurrence
from xpbptt.kernels import Compiled, find

One = xpbptt.cells.RNN_TANH.state


@pytest.fixture
def fresh():
    """Forget which kernels there are, before and after a test."""
    finding = import_module("xpbptt.kernels.find")
    caches = (engine._fastest, finding._compiled, finding._target, finding._warn_once)
    kernels = dict(finding._kernels)
    finding._kernels.clear()
    for cache in caches:
        cache.cache_clear()
    yield
    finding._kernels.update(kernels)
    for cache in caches:
        cache.cache_clear()


def run(net, make):
    of = make(net)
    y, _, cache = net.forward(of.params, of.x, of.state)
    return y, net.backward(cache, of.dy)


def branching(u, v, state, *, xp):
    a = u.a + v.a
    if xp.max(a) > 1e6:
        a = a / 2
    return One(xp.tanh(a)), ()


def unknown(u, v, state, *, xp):
    return One(xp.sinh(u.a + v.a)), ()


def reading(u, v, state, *, xp):
    return One((u.a + v.a) * float(u.a.shape[0] > 0)), ()


@pytest.mark.parametrize(
    ("forward", "reason"),
    [(branching, "xp.max"), (unknown, "xp.sinh"), (reading, "attribute `shape`")],
)
@pytest.mark.usefixtures("compiler")
def test_what_stops_it_is_said_once(forward, reason, make, caplog, xp):
    cell = xpbptt.cells.RNN_TANH._replace(name=f"odd {forward.__name__}", forward=forward)
    net = xpbptt.Net(cell, 3, 5)
    params, x = net.init(0, xp=xp), xp.ones((6, 4, 3), dtype=xp.float32)
    for _ in range(2):
        y, _, _ = net.forward(params, x)
        assert y.shape == (6, 4, 5)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert f"{cell.name} is not compiled but runs eagerly" in record.message
    assert reason in record.message


def test_a_number_beyond_the_dtype_is_infinite(make, compiled, xp):
    """NumPy warns of it; a kernel is not to fail for that."""

    def huge(u, v, state, *, xp):
        return One(xp.tanh((u.a + v.a) * 1e300)), ()

    net = xpbptt.Net(xpbptt.cells.RNN_TANH._replace(name="huge", forward=huge), 3, 5)
    of = make(net, "float32")
    y, _ = compiled(net.infer, of.params, of.x)
    assert bool(xp.all(xp.abs(y) == 1))


def planted(monkeypatch, compiler, **functions):
    """Put other functions into the target."""
    module = "llvm" if compiler.name == "LLVM" else "cuda"
    target = import_module(f"xpbptt.kernels.{module}.target")
    monkeypatch.setattr(target, "TARGET", compiler._replace(**functions))


def broken_loops(compiler, broken):
    return tuple(loop._replace(compile=broken) for loop in compiler.loops)


@pytest.mark.usefixtures("fresh")
def test_a_kernel_that_cannot_be_built(monkeypatch, compiler, make, caplog, eagerly, assert_same):
    def broken(*_):
        message = "no such instruction\nsecond line"
        raise RuntimeError(message)

    expected = eagerly(run, xpbptt.GRU(3, 5), make)
    planted(monkeypatch, compiler, loops=broken_loops(compiler, broken))
    assert_same(run(xpbptt.GRU(3, 5), make), expected)
    fastest = compiler.loops[0].name
    said = f"GRU runs without the engine {fastest}, slower: the kernel GRU_record for float64"
    assert f"{said} could not be built" in caplog.text
    assert "RuntimeError: no such instruction" in caplog.text
    assert "second line" not in caplog.text


def ask(xp, dtype=None):
    return find(LSTM, ("record",), xp.float32 if dtype is None else dtype, xp=xp)


@pytest.mark.usefixtures("fresh")
def test_a_kernel_that_cannot_be_built_and_does_not_say_why(monkeypatch, compiler, caplog, xp):
    def broken(*_):
        raise AssertionError

    planted(monkeypatch, compiler, loops=broken_loops(compiler, broken))
    said = "the kernel LSTM_record for float32 could not be built: AssertionError: "
    assert ask(xp, xp.ones(3, dtype=xp.float32).dtype) == said
    assert f"LSTM runs without the engine {compiler.loops[0].name}, slower: {said}" in caplog.text


def test_why_there_is_no_kernel(monkeypatch, compiler, xp):
    dtype = xp.ones(3, dtype=xp.float32).dtype
    assert isinstance(ask(xp, dtype), Compiled)
    assert ask(pytest, dtype) == "cells are compiled for NumPy and CuPy only"
    assert ask(xp, xp.ones(3, dtype=xp.complex128).dtype) == (
        "complex128 is not compiled on this library"
    )
    monkeypatch.setenv("XPBPTT_FUSE", "0")
    assert ask(xp, dtype) == "XPBPTT_FUSE=0 is set"


def test_a_recurrence_with_a_step_of_its_own_is_not_compiled(make, compiler, caplog):
    lstm = recurrence(LSTM)
    calls = []

    def step(*arguments, xp):
        calls.append(1)
        return lstm.step(*arguments, xp=xp)

    of = make(xpbptt.Net(lstm._replace(step=step), 3, 5))
    of.net.forward(of.params, of.x, of.state)  # the first time small arrays are tried before
    calls.clear()
    of.net.forward(of.params, of.x, of.state)
    assert len(calls) == 6
    assert not caplog.records


@pytest.mark.usefixtures("fresh")
def test_a_step_of_a_stream_that_cannot_be_built(monkeypatch, compiler, make, caplog, assert_same):
    def broken(*_):
        message = "no such step\nsecond line"
        raise RuntimeError(message)

    of = make(xpbptt.GRU(3, 5))
    expected = of.net.step(of.params, of.x[0, ...], of.state)
    finding = import_module("xpbptt.kernels.find")
    for cache in (engine._fastest, finding._compiled, finding._target):
        cache.cache_clear()
    planted(monkeypatch, compiler, single=broken)
    for _ in range(2):
        assert_same(of.net.step(of.params, of.x[0, ...], of.state), expected, "float64")
    assert caplog.records
    for record, loop in zip(caplog.records, engine.LOOPS[""], strict=True):
        assert record.levelname == "WARNING"
        assert record.message == (
            f"GRU runs without the engine {loop}, slower: the step of a stream of GRU for "
            "float64 could not be built: RuntimeError: no such step"
        )


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(
    ("error", "level"),
    [
        (ModuleNotFoundError("No module named 'llvmlite'", name="llvmlite"), "INFO"),
        (OSError("Could not find/load shared object file"), "WARNING"),
        (ModuleNotFoundError("No module named 'another'", name="another"), "WARNING"),
    ],
)
def test_where_llvmlite_is_missing_or_does_not_work_cells_run_eagerly(
    monkeypatch, caplog, error, level
):
    finding = import_module("xpbptt.kernels.find")

    def imported(name):
        raise error

    monkeypatch.setattr(finding, "import_module", imported)
    net = xpbptt.LSTM(3, 5)
    params, x = net.init(0), np.ones((6, 4, 3), np.float32)
    for _ in range(2):
        y, _, cache = net.forward(params, x)
        net.backward(cache, y)
        net.step(params, x[0])
    (record,) = caplog.records
    assert record.levelname == level
    assert record.message == f"cells are not compiled and run slower: {error}"
