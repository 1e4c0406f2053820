"""A user's program under ``mypy --strict``: it trains an LSTM, and its types are useful."""

from typing import Any, assert_type

import numpy as np

import xpbptt
from xpbptt.cells import gru, lstm

Floats = np.ndarray[Any, np.dtype[np.float32]]
State = tuple[lstm.State, ...]


def sums(count: int, random: np.random.Generator) -> tuple[Floats, Floats]:
    """Draw sequences, and the running sums of their three numbers."""
    x = random.normal(scale=0.2, size=(20, count, 3)).astype(np.float32)
    return x, np.cumsum(x.sum(axis=2, keepdims=True), axis=0, dtype=np.float32)


def train(steps: int) -> tuple[Floats, State]:
    """Train, and return the losses and the last state."""
    random = np.random.default_rng(0)
    net, readout = xpbptt.LSTM(3, 16), xpbptt.Linear(16, 1)
    params = {"net": net.init(seed=random), "readout": readout.init(seed=1)}
    optimizer = xpbptt.adam(learning_rate=0.01)
    memory = optimizer.init(params)
    mask = xpbptt.length_mask([20, 5, 13, 7], 20)
    losses = []
    for _ in range(steps):
        x, target = sums(4, random)
        h, state, cache = net.forward(params["net"], x, mask=mask, bptt=xpbptt.Segments())
        y, kept = readout.forward(params["readout"], h)
        loss, dy = xpbptt.mean_squared_error(y, target, mask)
        from_y = readout.backward(kept, dy)
        from_net = net.backward(cache, from_y.x)
        grads = {"net": from_net.params, "readout": from_y.params}
        grads, _ = xpbptt.clip_by_global_norm(grads, max_norm=10.0)
        params, memory = optimizer.update(grads, memory, params)
        losses.append(loss)
    return np.asarray(losses), state


losses, final = train(60)
assert losses[-1] < losses[0]
assert final[0].c.shape == (4, 16)

Doubles = np.ndarray[Any, np.dtype[np.float64]]
Pair = tuple[xpbptt.Weights, xpbptt.Weights]
States = tuple[gru.State, gru.State]

random = np.random.default_rng(0)
x: Doubles = random.normal(size=(7, 2, 3))
net, both = xpbptt.LSTM(3, 10), xpbptt.GRU(3, 5, bidirectional=True)
params, pairs = net.init(0, dtype=np.float64), both.init(0, dtype="float64")
assert_type(params, tuple[xpbptt.Weights, ...])
assert_type(pairs, tuple[Pair, ...])

y, state, cache = net.forward(params, x)
assert_type(y, Doubles)
assert_type(state, tuple[lstm.State, ...])
assert_type(both.infer(pairs, x), tuple[Doubles, tuple[States, ...]])
x_t: Doubles = x[0]
assert_type(net.step(params, x_t), tuple[Doubles, tuple[lstm.State, ...]])

Grads = xpbptt.Gradients[tuple[xpbptt.Weights, ...], Doubles, tuple[lstm.State, ...]]
assert_type(net.backward(cache, y), Grads)
assert_type(net.backward(cache, y, state, trace=True), tuple[Grads, tuple[xpbptt.Trace, ...]])
two = both.backward(both.forward(pairs, x)[2], y, trace=True)[1]
assert_type(two, tuple[tuple[xpbptt.Trace, xpbptt.Trace], ...])
assert two[0][1].state.h.shape == (7,)

readout = xpbptt.Linear(10, 2)
logits, kept = readout.forward(readout.init(0, dtype=np.float64), y)
assert_type(logits, Doubles)
assert_type(readout.backward(kept, logits).params, xpbptt.LinearParams)
loss, dlogits = xpbptt.softmax_cross_entropy(logits, np.ones((7, 2), dtype=np.int64))
assert_type(dlogits, Doubles)
assert_type(xpbptt.length_mask([3, 1], 7), np.ndarray[tuple[int, int], np.dtype[np.bool]])

for each in (net, both):  # plain names are types, too
    some: xpbptt.Net = each
    plain: xpbptt.Cache = some.forward(some.init(0, dtype=np.float64), x)[2]
    some.backward(plain, y, trace=bool(loss))
