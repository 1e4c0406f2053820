r"""
4. The LSTM
===========

The long short-term memory of Hochreiter and Schmidhuber (1997) has a second state, the memory cell
:math:`c`, which is not multiplied by a matrix on its way through time.
"""

import matplotlib.pyplot as plt
import numpy as np

import xpbptt

# %%
# Four gates
# ----------
#
# Each gate is computed from the input and the old state, as the whole RNN was. Three of them are
# between 0 and 1 and act as valves:
#
# .. math::
#
#    c_t &= f_t \odot c_{t-1} + i_t \odot g_t \\
#    h_t &= o_t \odot \tanh(c_t)
#
# The forget gate f says how much of the memory stays, the input gate i how much of the candidate g
# comes in, and the output gate o how much is shown. All lines, forward and back, are on :doc:`the
# page of the LSTM </generated/cells/lstm>`. The one that matters here is the way of the gradient
# through the memory:
#
# .. math::
#
#    \mathrm{d}c_{t-1} = f_t \odot \mathrm{d}c_t
#
# Where the forget gate is open, f = 1, the gradient passes unchanged, over any number of steps.
#
# The same picture as before
# --------------------------
#
# An LSTM as ``init`` makes it has its forget gates near :math:`\sigma(0) = 0.5`, and a half each
# step vanishes, too. ``init(forget_bias=4.0)`` opens them: :math:`\sigma(4) = 0.98`.

T, B, I, H = 100, 8, 4, 64
x = 0.1 * np.random.default_rng(0).normal(size=(T, B, I))
dy = np.zeros((T, B, H))
dy[-1] = 1 / H


def norms(net, params):
    """Return the norm of the gradient at each step, of the part of the state with most of it."""
    _, _, cache = net.forward(params, x)
    _, (trace,) = net.backward(cache, dy, trace=True)
    return np.max(trace.state, axis=0)


rnn, lstm = xpbptt.RNN(I, H), xpbptt.LSTM(I, H)
plain = lstm.init(seed=0, dtype="float64")
opened = lstm.init(seed=0, dtype="float64", forget_bias=4.0)
figure, axes = plt.subplots()
axes.semilogy(norms(rnn, rnn.init(seed=0, dtype="float64")), label="RNN")
axes.semilogy(norms(lstm, plain), label="LSTM, as it starts")
axes.semilogy(norms(lstm, opened), label="LSTM, forget gate open")
axes.set(xlabel="time step", ylabel="norm of the gradient")
axes.legend(loc="lower right")
plt.show()

# %%
# A task that needs it
# --------------------
#
# The first element of a sequence is +1 or -1, the other 59 are noise, and the net has to say at the
# end which it was. What is learnt from is the last output alone.

T, B, H = 60, 64, 32


def batch(random):
    """Return sequences (T, B, 1) and what they began with, (B,)."""
    label = random.integers(0, 2, size=B)
    x = 0.3 * random.normal(size=(T, B, 1))
    x[0, :, 0] = 2 * label - 1
    return x.astype(np.float32), label


def learn(net, params, steps=100):
    """Train a net with a readout; return the share of right answers, step by step."""
    random = np.random.default_rng(1)
    readout = xpbptt.Linear(H, 2)
    params = {"net": params, "readout": readout.init(seed=1)}
    optimizer = xpbptt.adam(learning_rate=0.003)
    memory, right = optimizer.init(params), []
    for _ in range(steps):
        x, label = batch(random)
        y, _, cache = net.forward(params["net"], x)
        logits, kept = readout.forward(params["readout"], y[-1])
        _, dlogits = xpbptt.softmax_cross_entropy(logits, label)
        from_readout = readout.backward(kept, dlogits)
        dy = np.zeros_like(y)
        dy[-1] = from_readout.x
        grads = {"net": net.backward(cache, dy).params, "readout": from_readout.params}
        grads, _ = xpbptt.clip_by_global_norm(grads, 1.0)
        params, memory = optimizer.update(grads, memory, params)
        right.append(float((logits.argmax(axis=1) == label).mean()))
    return np.asarray(right)


rnn, lstm = xpbptt.RNN(1, H), xpbptt.LSTM(1, H)
curves = {
    "RNN": learn(rnn, rnn.init(seed=0)),
    "LSTM, as it starts": learn(lstm, lstm.init(seed=0)),
    "LSTM, forget gate open": learn(lstm, lstm.init(seed=0, forget_bias=4.0)),
}
assert curves["LSTM, forget gate open"][-20:].mean() > 0.95

figure, axes = plt.subplots()
for name, right in curves.items():
    axes.plot(np.convolve(right, np.ones(10) / 10, mode="valid"), label=name)
axes.axhline(0.5, color="0.7", linestyle=":", zorder=0)
axes.set(xlabel="training step", ylabel="right answers", ylim=(0.4, 1.02))
axes.legend(loc="center right")
plt.show()

# %%
# The same net, with the same number of weights, learns in a few dozen steps what it could not learn
# before, because a gradient arrives where the answer was. Jozefowicz, Zaremba and Sutskever (2015)
# found an open forget gate to be the one change to the LSTM that nearly always helps.
