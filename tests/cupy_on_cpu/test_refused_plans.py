"""Where no kernel fits a device, the loop says why, and the next one answers."""

import cupy
import numpy as np
import pytest
from cupy.cuda.compiler import CompileException

import xpbptt
from cupy_on_cpu import driver
from xpbptt.bptt.engines import engine
from xpbptt.kernels import programs
from xpbptt.kernels.cuda import group, sequence
from xpbptt.kernels.cuda.plan import Device, Sizes, plans

H100 = Device(132, 232448, (9, 0), 1.755, cooperative=True)
CELL = xpbptt.LSTM(1, 1).cell


@pytest.fixture
def on(monkeypatch, forget):
    """Have the device be another one, and forget the plans for the real one before and after."""

    def change(device):
        monkeypatch.setattr(sequence, "device", lambda _: device)
        forget()

    yield change
    forget()


def planned(hidden, batch, dtype="float32", kind="record"):
    return sequence.Sequence(programs.task(CELL, kind), dtype).planned(hidden, batch)


REASONS = {
    "too small": (H100._replace(processors=2), (301, 4), "H = 301 with 4 gates is too large"),
    "too old": (H100._replace(capability=(6, 1)), (5, 4), "capability 7.0 or above"),
    "not co-operative": (H100._replace(cooperative=False), (301, 4), "is too large"),
    "little shared memory": (H100._replace(shared=1000), (301, 4), "is too large"),
    "much to multiply": (H100, (700, 512), "longer than a launch and cuBLAS"),
}


@pytest.mark.parametrize("name", REASONS)
def test_a_device_that_is_too_small_is_refused_with_the_reason(name, on):
    device, sizes, reason = REASONS[name]
    on(device)
    found = planned(*sizes)
    assert isinstance(found, str)
    assert reason in found


@pytest.mark.parametrize(
    ("attribute", "value", "reason"),
    [
        (driver.LOCAL_SIZE, 8, "8 bytes of a thread in memory"),
        (driver.REGISTERS, 257, "no block of 257 registers"),
    ],
)
def test_what_the_compiler_made_is_looked_at(attribute, value, reason, monkeypatch):
    monkeypatch.setitem(driver.compiled, attribute, value)
    assert reason in planned(7, 4)


def test_where_the_first_plan_spills_the_next_one_is_taken(monkeypatch):
    sizes = Sizes(4, 7, 4, "float32", back=False)
    first, second, *_ = plans(sequence.device(0), sizes)
    real = sequence.Sequence._compiled

    def compiled(self, plan, directions):
        return "it spills" if plan == first else real(self, plan, directions)

    monkeypatch.setattr(sequence.Sequence, "_compiled", compiled)
    assert planned(7, 4).plan == second


def test_a_kernel_that_cannot_be_compiled_is_a_reason(monkeypatch):
    def broken(*_):
        message = "no such instruction"
        raise CompileException(message, "", "", (), "nvrtc")

    monkeypatch.setattr(group, "source", broken)
    assert "LSTM_sequence_record could not be built" in planned(7, 4)


def test_the_next_engine_answers_with_the_same_numbers(on, counting):
    net = xpbptt.LSTM(3, 37)
    params = net.init(0, xp=cupy)
    x = cupy.asarray(np.random.default_rng(0).standard_normal((6, 4, 3)).astype("float32"))
    y, state, cache = net.forward(params, x)
    grads = net.backward(cache, y, state)
    assert net.engine(params, x).forward == ("sequence", "")
    on(H100._replace(processors=1, shared=100))
    for answer in net.engine(params, x):
        assert answer.name == "stepwise"
        assert "is too large" in answer.reason
    with counting() as count:
        found, state, cache = net.forward(params, x)
        again = net.backward(cache, found, state)
    assert count.launches["xpbptt_LSTM_record"] == count.launches["xpbptt_LSTM_back"] == 6
    np.testing.assert_allclose(found.get(), y.get(), atol=1e-6)
    np.testing.assert_allclose(again.x.get(), grads.x.get(), atol=1e-5)


def test_clipping_goes_step_by_step(counting):
    net = xpbptt.LSTM(3, 5)
    params, x = net.init(0, xp=cupy), cupy.ones((6, 4, 3), dtype="float32")
    y, _, cache = net.forward(params, x)
    with counting() as count:
        net.backward(cache, y, clip_step=0.01)
    assert count.launches["xpbptt_LSTM_back"] == 6


def test_a_grid_that_does_not_fit_the_device_is_refused_not_cut(counting):
    """CuPy would cut a line of blocks short with a warning; a grid of two dimensions it refuses."""
    found = planned(37, 4)
    plan = found.plan._replace(blocks=37, groups=100)
    arrays = [cupy.zeros(37 * 37 * 100, dtype="float32")] * 10
    with counting() as count, pytest.raises(ValueError, match="grid size"):
        found._replace(plan=plan)((1, 100, 37), (), arrays)
    assert not any("sequence" in name for name in count.launches)


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("chosen", ["sequence", "stepwise", "graph"])
def test_a_capture_under_way_is_refused_before_any_work(chosen, both, monkeypatch, counting):
    monkeypatch.setenv(engine.ENGINE, chosen)
    net = xpbptt.LSTM(3, 5, bidirectional=both)
    params, x = net.init(0, xp=cupy), cupy.ones((6, 4, 3), dtype="float32")
    y, _, cache = net.forward(params, x)
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        for call in (lambda: net.forward(params, x), lambda: net.backward(cache, y)):
            with counting() as count, pytest.raises(RuntimeError, match="end the capture"):
                call()
            assert not count.products
        stream.end_capture()  # nothing has broken it
    net.backward(cache, y)


def test_a_pass_goes_step_by_step_on_a_second_device_that_is_too_small(monkeypatch, forget):
    forget()
    net, x = xpbptt.LSTM(3, 5), cupy.ones((4, 2, 3), dtype="float32")
    params = net.init(0, xp=cupy)
    assert net.engine(params, x).forward.name == "sequence"
    y, _, cache = net.forward(params, x)
    expected = net.backward(cache, y)
    monkeypatch.setattr(sequence.runtime, "getDevice", lambda: 1)
    monkeypatch.setattr(sequence, "device", lambda _: H100._replace(capability=(6, 1)))
    again, _, cache = net.forward(params, x)
    grads = net.backward(cache, y)
    cupy.testing.assert_allclose(again, y, rtol=1e-5, atol=1e-6)
    cupy.testing.assert_allclose(grads.x, expected.x, rtol=1e-5, atol=1e-6)
    forget()
