"""What the library may ask of a GPU: nothing in training or inference waits for the host.

The sequences are longer than eight steps: CuPy joins up to eight arrays without a copy from the
host, and more with one.
"""

from collections import Counter

import cupy
import numpy as np
import pytest

import xpbptt
from xpbptt.bptt.engines import chunks
from xpbptt.bptt.strategies import keep
from xpbptt.kernels.cuda.stepwise import PARTS

T, B, I, H, K = 12, 4, 3, 5, 6

NETS = {
    "rnn-tanh": xpbptt.RNN(I, H, 2, bidirectional=True),
    "rnn-relu": xpbptt.RNN(I, H, nonlinearity="relu"),
    "lstm": xpbptt.LSTM(I, H, 2, bidirectional=True, dropout=0.5),
    "gru": xpbptt.GRU(I, H, 2, bidirectional=True),
    "gru-before": xpbptt.GRU(I, H, 2, reset_after=False),
}
STRATEGIES = {
    "keep-all": xpbptt.KeepAll(),
    "keep-states": xpbptt.KeepStates(),
    "segments": xpbptt.Segments(),
    "binomial": xpbptt.Binomial(3),
    "truncated": xpbptt.Truncated(4),
}


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture
def draw(dtype):
    random = np.random.default_rng(5)
    return lambda *shape: cupy.asarray(random.standard_normal(shape).astype(dtype))


@pytest.fixture
def alone(counting):
    """Call a function and see that it neither waits for the host nor copies from or to it."""

    def call(function, *arguments, **options):
        with counting() as count:
            result = function(*arguments, **options)
        assert Counter(count.waits) == {}
        assert count.launches
        return result

    return call


@pytest.fixture(params=NETS)
def net(request):
    return NETS[request.param]


@pytest.fixture
def params(net, dtype):
    return net.init(0, xp=cupy, dtype=dtype)


@pytest.fixture
def mask():
    return cupy.asarray(np.random.default_rng(1).random((T, B)) < 0.7)


def test_a_host_read_inside_of_training_is_seen(alone, draw):
    """The check itself: what clipping by a Python number would do."""
    grads = draw(5)
    with pytest.raises(AssertionError, match="to_host"):
        alone(lambda: grads * min(1.0, 1.0 / float(cupy.sum(grads * grads))))


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("masked", [False, True], ids=["plain", "masked"])
def test_training(alone, net, params, draw, mask, masked, strategy):
    x, mask = draw(T, B, I), mask if masked else None
    seed = 1 if net.dropout else None

    y, state, cache = alone(
        net.forward, params, x, None, mask, bptt=STRATEGIES[strategy], dropout_seed=seed
    )
    dy = draw(*y.shape)
    alone(net.backward, cache, dy)
    alone(net.backward, cache, dy, state)
    alone(net.forward, params, x, state, mask, dropout_seed=seed)


def test_tracing_and_clipping_inside(alone, net, params, draw):
    y, _, cache = net.forward(params, draw(T, B, I), dropout_seed=1)
    alone(net.backward, cache, draw(*y.shape), trace=True, clip_step=0.1)


@pytest.mark.parametrize("masked", [False, True], ids=["plain", "masked"])
def test_inference(alone, net, params, draw, mask, masked):
    x, mask = draw(T, B, I), mask if masked else None

    _, state = alone(net.infer, params, x, None, mask)
    alone(net.infer, params, x, state, mask)


def test_a_step(alone, net, params, draw):
    if net.bidirectional:
        net = xpbptt.Net(net.cell, I, H)
        params = (params[0][0],)
    x_t = draw(B, I)

    _, state = alone(net.step, params, x_t)
    alone(net.step, params, x_t, state)


def test_a_readout(alone, draw, dtype):
    readout = xpbptt.Linear(H, K)
    params = readout.init(0, xp=cupy, dtype=dtype)

    y, cache = alone(readout.forward, params, draw(T, B, H))
    alone(readout.backward, cache, draw(*y.shape))


def test_losses(alone, draw, mask):
    labels = cupy.asarray(np.random.default_rng(2).integers(K, size=(T, B)))
    for one in (None, mask):
        alone(xpbptt.softmax_cross_entropy, draw(T, B, K), labels, one)
        alone(xpbptt.mean_squared_error, draw(T, B, K), draw(T, B, K), one)


@pytest.mark.parametrize(
    "optimizer",
    [xpbptt.sgd(0.1), xpbptt.sgd(0.1, 0.9), xpbptt.adam(0.1)],
    ids=["sgd", "momentum", "adam"],
)
def test_optimizers(alone, params, optimizer):
    state = optimizer.init(params)
    for _ in range(2):
        params, state = alone(optimizer.update, params, state, params)


def test_clipping_by_the_norm(alone, params):
    alone(xpbptt.clip_by_global_norm, params, 0.1)


def test_the_notebook(alone, draw):
    x, a0, da = draw(I, B, T), draw(H, B), draw(H, B, T)
    rnn = {"Wax": draw(H, I), "Waa": draw(H, H), "ba": draw(H, 1)}
    lstm = {f"W{g}": draw(H, H + I) for g in "fico"} | {f"b{g}": draw(H, 1) for g in "fico"}
    readout = draw(K, H), draw(K, 1)
    rnn |= dict(zip(("Wya", "by"), readout, strict=True))
    lstm |= dict(zip(("Wy", "by"), readout, strict=True))

    *_, caches = alone(xpbptt.rnn_forward, x, a0, rnn)
    alone(xpbptt.rnn_backward, da, caches)
    *_, caches = alone(xpbptt.lstm_forward, x, a0, lstm)
    alone(xpbptt.lstm_backward, da, caches)


SHORT, LONG = 40, 72  # more than 8 chunks of 2 steps


@pytest.fixture
def asked(counting, monkeypatch, draw, net, params, mask):
    """Count what a call asks the device for, by kind, where chunks are as short as they can be."""
    monkeypatch.setattr(chunks, "ROWS", 1)
    monkeypatch.setattr(chunks, "ELEMENTS", 1)
    monkeypatch.setattr(chunks, "CHUNK", 2)
    monkeypatch.setattr(keep, "SPAN", 2)
    seed = 1 if net.dropout else None

    def call(steps, bptt, *, masked):
        x = draw(steps, B, I)
        of = cupy.asarray(np.random.default_rng(1).random((steps, B)) < 0.7) if masked else None
        y, _, cache = net.forward(params, x, None, of, bptt=bptt, dropout_seed=seed)
        dy, found = draw(*y.shape), {}
        for name, function in {
            "forward": lambda: net.forward(params, x, None, of, bptt=bptt, dropout_seed=seed),
            "backward": lambda: net.backward(cache, dy),
            "infer": lambda: net.infer(params, x, None, of),
        }.items():
            with counting() as count:
                function()
            assert not count.waits
            ours = sum(k for each, k in count.launches.items() if each.startswith("xpbptt_"))
            others = count.on_device + count.fills + count.allocations
            found[name] = np.asarray((ours, count.products, count.launches.total(), others))
        return found

    return call


@pytest.mark.parametrize("masked", [False, True], ids=["plain", "masked"])
@pytest.mark.parametrize("net", ["rnn-tanh", "lstm", "gru"], indirect=True)
@pytest.mark.parametrize("dtype", ["float32"], indirect=True)
def test_a_longer_sequence_asks_for_nothing_more(asked, net, masked):
    """Training that keeps everything, and inference: launches, products, arrays and copies."""
    for bptt in (xpbptt.KeepAll(), xpbptt.Truncated(4)):
        less, more = (asked(steps, bptt, masked=masked) for steps in (SHORT, LONG))
        for name in less:
            np.testing.assert_array_equal(more[name], less[name], name)
        runs = net.num_layers * net.directions
        launches = net.num_layers  # both directions in one
        assert (more["forward"][0], more["backward"][0]) == (launches, launches)
        assert more["infer"][0] == PARTS * launches
        assert more["infer"][1] == PARTS * runs  # products


@pytest.mark.parametrize("net", ["lstm"], indirect=True)
@pytest.mark.parametrize("dtype", ["float32"], indirect=True)
def test_what_keeps_less_asks_for_more_by_the_segment_not_by_the_step(asked, net):
    """Of both layers and directions: a launch each way for a segment, and again for its steps."""

    def launches(steps, bptt):
        return [int(count[0]) for count in asked(steps, bptt, masked=False).values()]

    layers = net.num_layers
    for steps in (SHORT, LONG):
        spans = steps // keep.SPAN
        ahead, back, _ = launches(steps, xpbptt.KeepStates())
        # Back, the residuals of both directions are computed again by a kernel each.
        assert (ahead, back) == (spans * layers, spans * layers * (1 + net.directions))
        ahead, back, _ = launches(steps, xpbptt.Segments(8))
        assert (ahead, back) == (steps // 8 * layers, 2 * steps // 8 * layers)


@pytest.mark.parametrize("make", [xpbptt.RNN, xpbptt.LSTM, xpbptt.GRU])
def test_the_parts_of_inference_take_about_as_much_as_its_output(make, monkeypatch):
    monkeypatch.setattr(chunks, "ELEMENTS", 1)
    net, steps = make(8, 16), 8 * 2 * chunks.CHUNK
    params, x = net.init(0, xp=cupy), cupy.zeros((steps, 32, 8), dtype="float32")
    pool, peak = cupy.cuda.MemoryPool(), []

    def allocate(size):
        memory = pool.malloc(size)
        peak.append(pool.used_bytes())
        return memory

    with cupy.cuda.using_allocator(allocate):
        y, _ = net.infer(params, x)
    assert max(peak) - y.nbytes <= y.nbytes
