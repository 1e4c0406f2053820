"""The GPU check on a simulated GPU, which tells no time, and mistakes that it must report."""

from functools import partial
from importlib import import_module

import cupy
import pytest

import xpbptt
from xpbptt.bptt import loop
from xpbptt.bptt.engines import engine
from xpbptt.commands.bench import peers
from xpbptt.commands.main import main
from xpbptt.commands.selftest import (
    allocations,
    command,
    engines,
    graphs,
    kernels,
    laws,
    nets,
    waits,
)
from xpbptt.commands.selftest.check import CheckError
from xpbptt.kernels.cuda import graph, nodes, recorded, sequence, target


@pytest.fixture
def selftest(monkeypatch, capsys):
    """Run the command; with modules, only their checks and no times."""
    monkeypatch.setattr(peers, "NAMES", ("notebook",))
    monkeypatch.delenv("XPBPTT_FUSE", raising=False)

    def run(*only):
        if only:
            for name in ("CHECKS", "BUDGETS"):
                kept = [module for module in getattr(command, name) if module in only]
                monkeypatch.setattr(command, name, kept)
            monkeypatch.setattr(command.times, "checks", lambda *_: iter(()))
        code = main(["selftest", "--backend", "cupy", "--quick"])
        out, err = capsys.readouterr()
        assert err == ""
        return code, out

    return run


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


@pytest.fixture
def small(monkeypatch):
    """Make the checks of the engines small, and run the soak here: a child has no simulator.

    Every strategy is run on the simulator by tests/testing/test_laws.py, and so is every net; of
    those that are compiled two are enough here, with two layers and both directions.
    """
    for name in ("RNN tanh", "RNN relu"):
        monkeypatch.delitem(nets.NETS, name)
    for module in (allocations, engines, graphs):
        monkeypatch.setattr(module, "COMPILED", [n for n in nets.COMPILED if n in nets.NETS])
    few = [xpbptt.KeepAll(), xpbptt.Segments(2)]
    fewer = {
        "strategies": partial(laws.LAWS["strategies"], exact=few[1:]),
        "engines": partial(laws.LAWS["engines"], plans=few),
    }
    monkeypatch.setattr(laws, "LAWS", laws.LAWS | fewer)
    monkeypatch.setattr(laws, "nets", lambda *which: nets.nets(*which)[-1:])
    monkeypatch.setattr(engines, "SIZES", ((5, 4),))
    monkeypatch.setattr(graphs, "LENGTHS", (1, 33))
    monkeypatch.setattr(engines, "TABLE", ((2, 5),))
    monkeypatch.setattr(engines, "TIMED", 6)
    monkeypatch.setattr(engines, "PASS", 6)
    monkeypatch.setattr(engines, "SOAKED", (2, 5))
    monkeypatch.setattr(engines, "in_a_child", lambda _: engines.soak(24))


@pytest.mark.usefixtures("small")
def test_everything_with_a_clock(selftest, monkeypatch):
    monkeypatch.setattr(cupy.cuda, "get_elapsed_time", lambda start, stop: 1.0)
    code, out = selftest()
    assert code == 0, out
    lines = out.splitlines()
    assert "device    the CPU, in the role of a GPU, compute capability 9.0; driver for" in out
    assert "Measured with events of the GPU." in lines
    unchecked = [line.split("  ")[1] for line in lines if line.startswith("not applicable")]
    assert unchecked == ["kernels are built, GRU before"]
    for check in (
        "derivative, LSTM", "as NumPy in float16, GRU", "a read on the host is seen",
        "no wait, GRU before", "allocations, GRU", "stepwise as written, LSTM",
        "a soak of the barrier", "us a step, LSTM float32", "graph as written, LSTM",
        "graph as stepwise, LSTM",
    ):  # fmt: skip
        assert sum(line.startswith(f"ok              {check}  ") for line in lines) == 1, check
    (line,) = [line for line in lines if "graph as stepwise, LSTM" in line]
    assert line.endswith("the same bits")
    assert f"{'':14}  {waits.UNSEEN}" in lines
    (row,) = [line for line in lines if line.startswith("lstm float32")]
    assert row.endswith("sequence")


def test_without_a_clock_the_times_are_not_applicable(selftest, monkeypatch):
    monkeypatch.setattr(command, "CHECKS", ())
    monkeypatch.setattr(command, "BUDGETS", ())
    code, out = selftest()
    assert code == 0
    assert "not applicable  train-lstm-float32-8-4-8" in out
    assert "eventElapsedTime is not in the simulator" in out


def plant(monkeypatch, function, extra):
    """Let a function of the engines do something else first, on the device."""
    real = loop.choose

    def choose(*arguments, **options):
        engine = real(*arguments, **options)
        run = getattr(engine, function)

        def planted(inputs, *arguments, **options):
            if isinstance(inputs.x, cupy.ndarray):  # not where the numbers are drawn, on the host
                extra(inputs)
            return run(inputs, *arguments, **options)

        return engine._replace(**{function: planted})

    monkeypatch.setattr(loop, "choose", choose)


WAITS = {
    "float": (lambda inputs: float(inputs.x[0, 0, 0]), "DeviceSynchronized: "),
    "bool": (lambda inputs: bool(cupy.any(inputs.x > 0)), "DeviceSynchronized: "),
    "get": (lambda inputs: inputs.x.get(), "DeviceSynchronized: "),
    "device": (lambda _: cupy.cuda.Device().synchronize(), "DeviceSynchronized: "),
}


@pytest.mark.parametrize("function", ["record", "advance", "rewind"])
@pytest.mark.parametrize("name", WAITS)
def test_a_wait_is_reported_with_its_place(selftest, monkeypatch, name, function):
    wait, said = WAITS[name]
    plant(monkeypatch, function, wait)
    code, out = selftest(waits)
    assert code == 1
    failed = [line for line in out.splitlines() if line.startswith("FAILED  ")]
    assert len(failed) == 5
    assert all(said in line and "(at xpbptt/bptt/loop.py:" in line for line in failed)
    assert "ok              no wait, readout, losses, optimisers" in out


def test_a_wait_in_an_optimiser_is_reported(selftest, monkeypatch):
    optim = import_module("xpbptt.optim.adam")
    real = optim._next_step

    def waiting(step, params, *, xp):
        float(params.bias[0])
        return real(step, params, xp=xp)

    monkeypatch.setattr(optim, "_next_step", waiting)
    code, out = selftest(waits)
    assert code == 1
    (line,) = [line for line in out.splitlines() if line.startswith("FAILED  ")]
    assert "no wait, readout, losses, optimisers" in line
    assert "(at xpbptt/optim/adam.py:" in line


def test_a_watch_that_sees_nothing_is_reported(selftest, monkeypatch):
    import cupyx  # noqa: PLC0415

    real = cupyx.allow_synchronize
    monkeypatch.setattr(cupyx, "allow_synchronize", lambda allow: real(not allow))
    code, out = selftest(waits)
    assert code == 1
    assert "FAILED: a read on the host is seen" in out


def test_a_cupy_without_the_watch(selftest, monkeypatch):
    import cupyx  # noqa: PLC0415

    monkeypatch.delattr(cupyx, "allow_synchronize")
    code, out = selftest(waits)
    assert code == 0
    assert out.count("this version of CuPy has no cupyx.allow_synchronize") == 7


def test_arrays_made_in_every_step_are_reported(selftest, monkeypatch):
    plant(monkeypatch, "record", lambda inputs: [cupy.empty(1) for _ in inputs.x])
    code, out = selftest(allocations)
    assert code == 1
    assert "KeepAll(): (" in out
    assert out.count("FAILED  ") == 4


@pytest.mark.usefixtures("fresh")
def test_a_kernel_that_cannot_be_built_is_reported_with_its_reason(selftest, monkeypatch):
    def broken(*_):
        message = "no such instruction"
        raise RuntimeError(message)

    loops = target.SEQUENCE._replace(compile=broken), target.STEPWISE, target.GRAPH
    monkeypatch.setattr(target, "TARGET", target.TARGET._replace(loops=loops))
    code, out = selftest(kernels)
    assert code == 1
    (line,) = [line for line in out.splitlines() if line.startswith("FAILED          kernels are "
                                                                   "built, LSTM")]  # fmt: skip
    assert "could not be built: RuntimeError: no such instruction" in line
    assert "logged a warning: LSTM runs without the engine sequence" in out


def test_a_kernel_that_computes_something_else_is_reported(selftest, monkeypatch):
    real = loop.choose

    def choose(*arguments, **options):
        engine = real(*arguments, **options)

        def wrong(inputs, state, *, xp):
            segment, last = yield from engine.record(inputs, state, xp=xp)
            return segment, type(last)(*(part * 1.001 for part in last))

        return engine._replace(record=wrong) if engine.name == "sequence" else engine

    monkeypatch.setattr(loop, "choose", choose)
    monkeypatch.setattr(laws, "LAWS", {"engines": laws.LAWS["engines"]})
    code, out = selftest(laws)
    assert code == 1
    assert "FAILED: engines, LSTM" in out


@pytest.mark.usefixtures("small", "fresh")
def test_a_soak_that_changes_its_bits_is_reported(monkeypatch):
    real, calls = sequence.forward, []

    def forward(kernel, x, *rest):
        calls.append(x)
        real(kernel, x * (1 + 0.001 * len(calls)), *rest)

    loops = target.SEQUENCE._replace(forward=forward), target.STEPWISE
    monkeypatch.setattr(target, "TARGET", target.TARGET._replace(loops=loops))
    with pytest.raises(CheckError, match="other bits"):
        engines.soak(24)


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(
    ("function", "wrong", "said"),
    [
        (recorded, lambda real: lambda *given: real(*given)._replace(frame=None), "AttributeError"),
        (nodes, lambda real: lambda *given: real(*given).replace("frame.done + k", "k"), "off by"),
        (nodes, lambda real: lambda *given: real(*given) + "#error", "CompileException"),
    ],
)
def test_a_graph_that_is_wrong_is_reported(selftest, monkeypatch, function, wrong, said):
    name = "capture" if function is recorded else "source"
    module = graph if function is recorded else nodes
    monkeypatch.setattr(module, name, wrong(getattr(module, name)))
    code, out = selftest(graphs)
    assert code == 1
    (line,) = [line for line in out.splitlines() if line.startswith("FAILED  ")]
    assert "graph as stepwise, LSTM" in line
    assert said in line


def test_a_soak_that_stands_still_is_stopped(monkeypatch):
    monkeypatch.setattr(engines, "CHILD", "import time; time.sleep(60)  # {steps}")
    monkeypatch.setattr(engines, "LIMIT", 0.5)
    with pytest.raises(CheckError, match="XPBPTT_ENGINE=stepwise"):
        engines.in_a_child(1)
