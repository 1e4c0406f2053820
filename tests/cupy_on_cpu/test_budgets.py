"""What the library may ask of a GPU: nothing in training or inference waits for the host.

The sequences are longer than eight steps: CuPy joins up to eight arrays without a copy from the
host, and more with one.
"""

from collections import Counter

import cupy
import numpy as np
import pytest

import xpbptt

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
