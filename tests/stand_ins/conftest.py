"""Every public call that does arithmetic, to be run on arrays that stand in for other machines.

A call takes `make`, which turns an array of NumPy into one of the library under test, and returns
its results as a tree. The arrays are the same on every library.
"""

from types import SimpleNamespace

import numpy as np
import pytest

import xpbptt
from xpbptt import Binomial, KeepAll, KeepStates, Segments, Truncated
from xpbptt._arrays.tree import leaves, map_leaves

T, B, I, H, O = 5, 4, 3, 2, 6


def random():
    return np.random.default_rng(7)


def batch(make, net, **options):
    """Make what a net takes: parameters, inputs, a mask, and gradients of all outputs."""
    draw = random().standard_normal
    params = net.init(1, dtype=np.float64)
    x = draw((T, B, I))
    state = map_leaves(lambda part: draw(part.shape), net.infer(params, x)[1])
    tree = {
        "params": params,
        "x": x,
        "state": state,
        "mask": random().random((T, B)) < 0.7,
        "dy": draw((T, B, net.directions * H)),
        "dstate": map_leaves(lambda part: draw(part.shape), state),
    }
    return SimpleNamespace(net=net, options=options, **map_leaves(make, tree))


def forward_and_backward(make, net, **options):
    of = batch(make, net)
    y, state, cache = net.forward(of.params, of.x, of.state, of.mask, **options)
    grads, trace = net.backward(cache, of.dy, of.dstate, trace=True, clip_step=0.3)
    plain_y, _, plain = net.forward(of.params, of.x, **options)
    return y, state, grads, trace, plain_y, net.backward(plain, of.dy)


def infer(make, net):
    of = batch(make, net)
    return net.infer(of.params, of.x, of.state, of.mask), net.infer(of.params, of.x)


def step(make, net):
    of = batch(make, net)
    first, state = net.step(of.params, of.x[0, ...], of.state)
    return first, state, net.step(of.params, of.x[1, ...], state), net.step(of.params, of.x[0, ...])


def losses(make):
    draw = random()
    logits, targets = (make(draw.standard_normal((T, B, O))) for _ in range(2))
    labels, mask = make(draw.integers(O, size=(T, B))), make(draw.random((T, B)) < 0.7)
    return [
        loss(logits, other, *more)
        for loss, other in (
            (xpbptt.softmax_cross_entropy, labels),
            (xpbptt.mean_squared_error, targets),
        )
        for more in ((), (mask,))
    ]


def linear(make):
    readout, draw = xpbptt.Linear(I, O), random().standard_normal
    params = map_leaves(make, readout.init(1, dtype=np.float64))
    x, dy = make(draw((T, B, I))), make(draw((T, B, O)))
    y, cache = readout.forward(params, x)
    return y, readout.backward(cache, dy), readout.infer(params, x)


def train(make, optimizer):
    draw = random().standard_normal
    trees = [{"w": draw((3, 2)), "b": (draw(4), draw((0, 2)))} for _ in range(3)]
    params, *steps = map_leaves(make, trees)
    state = optimizer.init(params)
    for grads in steps:
        params, state = optimizer.update(grads, state, params)
    return params, [moment for moment in state if isinstance(moment, dict)]


def clip(make):
    draw = random().standard_normal
    return xpbptt.clip_by_global_norm(map_leaves(make, [draw((3, 2)), draw(4)]), 0.5)


def notebook_rnn(make):
    draw = random().standard_normal
    shapes = {"Wax": (H, I), "Waa": (H, H), "Wya": (O, H), "ba": (H, 1), "by": (O, 1)}
    parameters = {key: make(draw(shape)) for key, shape in shapes.items()}
    x, a0, da = (make(draw(shape)) for shape in ((I, B, T), (H, B), (H, B, T)))
    a, y, caches = xpbptt.rnn_forward(x, a0, parameters)
    *one, cache = xpbptt.rnn_cell_forward(x[:, :, 0], a0, parameters)
    cell = xpbptt.rnn_cell_backward(da[:, :, 0], cache)
    return a, y, xpbptt.rnn_backward(da, caches), one, cell


def notebook_lstm(make):
    draw = random().standard_normal
    shapes = {f"W{gate}": (H, H + I) for gate in "fico"} | {f"b{gate}": (H, 1) for gate in "fico"}
    shapes |= {"Wy": (O, H), "by": (O, 1)}
    parameters = {key: make(draw(shape)) for key, shape in shapes.items()}
    x, a0, da = (make(draw(shape)) for shape in ((I, B, T), (H, B), (H, B, T)))
    a, y, c, caches = xpbptt.lstm_forward(x, a0, parameters)
    *one, cache = xpbptt.lstm_cell_forward(x[:, :, 0], a0, a0, parameters)
    cell = xpbptt.lstm_cell_backward(da[:, :, 0], da[:, :, 1], cache)
    return a, y, c, xpbptt.lstm_backward(da, caches), one, cell


def stream(make, net):
    """All that is computed without a backward pass."""
    return infer(make, net), () if net.bidirectional else step(make, net)


NETS = {
    "rnn": xpbptt.RNN(I, H, 2),
    "rnn-relu": xpbptt.RNN(I, H, nonlinearity="relu"),
    "lstm": xpbptt.LSTM(I, H, 2),
    "gru": xpbptt.GRU(I, H),
    "gru-before": xpbptt.GRU(I, H, reset_after=False),
    "lstm-both": xpbptt.LSTM(I, H, 2, bidirectional=True),
}
STRATEGIES = (KeepAll(), KeepStates(), Segments(), Segments(2), Binomial(3), Truncated(2))
DROPPING = xpbptt.GRU(I, H, 2, dropout=0.5)
OPTIMIZERS = {
    "sgd": xpbptt.sgd(0.1),
    "momentum": xpbptt.sgd(0.1, momentum=0.9),
    "adam": xpbptt.adam(0.1),
}
# Each net and each strategy, and two on the net that has both directions.
TRAINED = [*zip(NETS, STRATEGIES, strict=True), ("lstm-both", KeepStates())]
CALLS = {
    **{
        f"{name}-{bptt!r}": lambda make, net=NETS[name], bptt=bptt: forward_and_backward(
            make, net, bptt=bptt
        )
        for name, bptt in TRAINED
    },
    **{f"{name}-stream": lambda make, net=net: stream(make, net) for name, net in NETS.items()},
    "dropout": lambda make: forward_and_backward(make, DROPPING, dropout_seed=3),
    "losses": losses,
    "linear": linear,
    **{name: lambda make, of=of: train(make, of) for name, of in OPTIMIZERS.items()},
    "clip": clip,
    "length_mask": lambda make: xpbptt.length_mask(make(np.asarray([2, 0, 5, 3])), T),
    "notebook-rnn": notebook_rnn,
    "notebook-lstm": notebook_lstm,
}


@pytest.fixture(params=CALLS)
def call(request):
    """Return a public call: ``make → tree of results``."""
    return CALLS[request.param]


@pytest.fixture
def assert_same_on_numpy():
    """Compare the results of a call with those of NumPy: shapes, dtypes, values."""

    def check(results, call, host, tolerance=1e-12):
        expected = list(leaves(call(np.array)))
        found = list(leaves(results))
        assert [path for path, _ in found] == [path for path, _ in expected]
        for (path, got), (_, wanted) in zip(found, expected, strict=True):
            assert tuple(got.shape) == wanted.shape, path
            assert str(got.dtype).rpartition(".")[2] == str(wanted.dtype), path
            if host:
                np.testing.assert_allclose(
                    host(got), wanted, rtol=tolerance, atol=tolerance, err_msg=path
                )

    return check
