"""The compiled cells on a GPU: what a pass and a step ask for, and code for real devices."""

import cupy
import numpy as np
import pytest

import xpbptt
from cupy_on_cpu import ARCHITECTURES
from cupy_on_cpu.nvrtc import kept_cubin
from xpbptt import KeepAll, KeepStates
from xpbptt.bptt.engines import chunks as limits
from xpbptt.bptt.engines import engine
from xpbptt.bptt.engines.chunks import CHUNK

B, I, H = 4, 3, 5
NETS = {"rnn": xpbptt.RNN(I, H), "lstm": xpbptt.LSTM(I, H), "gru": xpbptt.GRU(I, H)}
DEEP = NETS | {
    "rnn-relu": xpbptt.RNN(I, H, nonlinearity="relu", bidirectional=True),
    "lstm-deep": xpbptt.LSTM(I, H, 2, bidirectional=True, dropout=0.5),
    "gru-deep": xpbptt.GRU(I, H, 2),
}


def passes(net, counting, steps, *, masked, bptt):
    """Count what a forward pass, a backward pass and inference ask of the device."""
    random = np.random.default_rng(0)
    draw = lambda *shape: cupy.asarray(random.standard_normal(shape).astype("float32"))  # noqa: E731
    params, x = net.init(0, xp=cupy), draw(steps, B, I)
    mask = cupy.asarray(random.random((steps, B)) < 0.7) if masked else None
    seed = 1 if net.dropout else None

    def forward():
        return net.forward(params, x, None, mask, bptt=bptt, dropout_seed=seed)

    y, _, cache = forward()
    dy = draw(*y.shape)
    counts = []
    for call in (
        forward,
        lambda: net.backward(cache, dy),
        lambda: net.infer(params, x, None, mask),
    ):
        call()  # builds what is built once
        with counting() as count:
            call()
        assert count.waits == []
        asked = count.launches.total(), count.products, count.allocations
        counts.append((*asked, count.on_device, count.fills))
    return np.asarray(counts)


@pytest.fixture
def stepwise(monkeypatch):
    monkeypatch.setenv(engine.ENGINE, "stepwise")


@pytest.fixture(params=[KeepAll(), KeepStates()], ids=repr)
def bptt(request):
    return request.param


@pytest.fixture(params=[False, True], ids=["plain", "masked"])
def masked(request):
    return request.param


@pytest.mark.parametrize("name", DEEP)
@pytest.mark.usefixtures("stepwise")
def test_a_step_is_one_product_and_one_kernel(name, bptt, masked, counting, simulator):
    """All else, every allocation among it, is there once, whatever the number of steps."""
    net = DEEP[name]
    runs = net.num_layers * net.directions
    less, more = (passes(net, counting, steps, masked=masked, bptt=bptt) for steps in (12, 22))
    np.testing.assert_array_equal(more - less, [[10 * runs, 10 * runs, 0, 0, 0]] * 3)


@pytest.mark.parametrize("name", DEEP)
def test_a_longer_sequence_asks_the_device_for_nothing_more(
    name, bptt, masked, counting, simulator
):
    """In one launch: products, launches, arrays, copies and fills are as many for twice the steps.

    Inference goes on by pieces of many steps, so that little is there at once.
    """
    net = DEEP[name]
    less, more = (passes(net, counting, steps, masked=masked, bptt=bptt) for steps in (12, 24))
    np.testing.assert_array_equal(more, less)


@pytest.mark.parametrize("name", DEEP)
@pytest.mark.usefixtures("stepwise")
def test_what_goes_by_chunks_does_little_for_each(name, bptt, counting, simulator, monkeypatch):
    """So that little is there at once, inference and `KeepStates` go on by some steps at a time."""
    monkeypatch.setattr(limits, "ROWS", 1)  # inference goes by as few steps as it ever does
    monkeypatch.setattr(limits, "ELEMENTS", 1)
    net = DEEP[name]
    two, three, four = (
        passes(net, counting, CHUNK * chunks, masked=True, bptt=bptt) for chunks in (2, 3, 4)
    )
    np.testing.assert_array_equal(four - three, three - two)
    once = (four - three) / (net.num_layers * net.directions) - [CHUNK, CHUNK, 0, 0, 0]
    launches, products, allocations, copies, fills = once.T
    assert np.all(products <= [1, 5, 1])
    assert np.all(launches + copies + fills <= [7, 19, 10])
    assert np.all(allocations <= [8, 24, 10])
    if bptt == KeepAll():
        np.testing.assert_array_equal(once[:2], 0)


def test_what_is_not_compiled_does_the_same_at_every_step(bptt, masked, counting, simulator):
    net = xpbptt.GRU(I, H, reset_after=False)
    one, two, three = (
        passes(net, counting, steps, masked=masked, bptt=bptt) for steps in (12, 18, 24)
    )
    np.testing.assert_array_equal(three - two, two - one)
    np.testing.assert_array_equal((two - one)[:, 1], [2 * 6] * 3)


@pytest.mark.parametrize("name", NETS)
def test_a_step_of_a_stream(name, counting, simulator):
    net = NETS[name]
    params, x = net.init(0, xp=cupy), cupy.ones((B, I), dtype="float32")
    _, state = net.step(params, x)
    with counting() as count:
        net.step(params, x, state)
    assert sum(count.launches.values()) == 1
    assert count.products == 2
    assert count.to_device == count.to_host == count.synchronisations == 0


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", NETS)
def test_every_kernel_compiles_for_real_devices(name, dtype, counting, simulator):
    net = NETS[name]
    params, x = net.init(0, xp=cupy, dtype=dtype), cupy.ones((3, B, I), dtype=dtype)
    with counting() as count:
        for mask in (None, cupy.ones((3, B), dtype=bool)):
            for bptt in (KeepAll(), KeepStates()):
                y, _, cache = net.forward(params, x, None, mask, bptt=bptt)
                net.backward(cache, y)
            net.backward(cache, y, trace=True)
        net.step(params, x[0])
    found = {name: kernels for name, kernels in count.kernels.items() if "xpbptt_" in name}
    kinds = {"record", "advance", "back", "watch", "single"}
    kinds |= {"recompute"} if name != "rnn" else set()  # an RNN keeps no residuals
    assert {kernel.rpartition("_")[2] for kernel in found} == kinds
    for sources in found.values():
        for source in sources:
            for architecture in ARCHITECTURES:
                assert kept_cubin(source, architecture)
