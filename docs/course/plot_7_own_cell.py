r"""
7. A cell of your own
=====================

A new recurrent unit is two functions: the maths of one time step and its derivative. Layers,
directions, masks, streams, the memory strategies, the gradient check and the compiler take it from
there. This chapter writes one, gets it wrong, is told so, and trains it.
"""

import inspect
import os
import time
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np

import xpbptt
from xpbptt.cells import sigmoid
from xpbptt.testing import GradientError, check_gradients, laws

# %%
# The minimal gated unit
# ----------------------
#
# Zhou et al. (2016) merged the two gates of the GRU into one. In the form that takes one product a
# step:
#
# .. math::
#
#    f &= \sigma(u_f + v_f) \\
#    n &= \tanh(u_n + f \odot v_n) \\
#    h_t &= h_{t-1} + f \odot (n - h_{t-1})
#
# where :math:`u = W_{ih} x_t + b_{ih}` is the input's part of both gates and :math:`v = W_{hh}
# h_{t-1} + b_{hh}` the state's. The library computes both, splits them into gates and hands them
# over. A line of Python for each equation:


class Gates(NamedTuple):
    """The forget gate and the candidate, in the order of the rows of the weights."""

    f: Any
    n: Any


class State(NamedTuple):
    """The state; its first part is the output."""

    h: Any


def forward(u, v, state, *, xp):
    """One time step."""
    f = sigmoid(u.f + v.f, xp=xp)
    n = xp.tanh(u.n + f * v.n)
    return State(state.h + f * (n - state.h)), (f, n, v.n)


# %%
# ``xp`` is the namespace of the arrays: NumPy, CuPy, or whatever the caller uses. Beside the new
# state the function returns what the derivative will need, the *residuals*.
#
# The derivative
# --------------
#
# Go through the lines from the last to the first. ``dnew.h`` is the gradient of the loss by the new
# state. A sigmoid has the derivative f (1 - f), a tanh 1 - n². Here is a first attempt:


def backward(residuals, state, new, dnew, *, xp):
    """Return the gradients of u, v and the old state."""
    f, n, v_n = residuals
    dn = dnew.h * f * (1 - n * n)
    df = dnew.h * (n - state.h) * f * (1 - f)
    return Gates(df, dn), Gates(df, dn * f), State(dnew.h * (1 - f))


mgu = xpbptt.Cell("MGU", Gates, State, forward, backward)
net = xpbptt.Net(mgu, 3, 5)
x = np.random.default_rng(0).normal(size=(7, 2, 3))
try:
    check_gradients(net, net.init(0, dtype="float64"), x)
except GradientError as error:
    print(error)

# %%
# It is wrong. The gate f has *two* ways to the new state: through the mix, and through the
# candidate n, where it multiplies ``v_n``. The second one is missing:


def backward(residuals, state, new, dnew, *, xp):
    """Return the gradients of u, v and the old state."""
    f, n, v_n = residuals
    dn = dnew.h * f * (1 - n * n)
    df = (dnew.h * (n - state.h) + dn * v_n) * f * (1 - f)
    return Gates(df, dn), Gates(df, dn * f), State(dnew.h * (1 - f))


mgu = xpbptt.Cell("MGU", Gates, State, forward, backward)
net = xpbptt.Net(mgu, 3, 5, num_layers=2, bidirectional=True)
print(check_gradients(net, net.init(0, dtype="float64"), x).method)

# %%
# More than gradients can be wrong: a mask, a direction, a state that does not carry on. The *laws*
# are what every recurrent net obeys. They hold for this one:

laws.hold(xpbptt.Net(mgu, 3, 5))
print(", ".join(laws.LAWS))

# %%
# It is compiled
# --------------
#
# On NumPy the two functions are traced once and compiled to one function for a whole sequence.
# Nothing has to be done for that; ``XPBPTT_ENGINE=eager`` turns it off, here to compare:

net = xpbptt.Net(mgu, 16, 64)
params = net.init(0)
x = np.random.default_rng(0).normal(size=(200, 8, 16)).astype(np.float32)
for name in ("sequence", "eager"):
    os.environ["XPBPTT_ENGINE"] = name
    took = []
    for _ in range(5):
        start = time.perf_counter()
        y, _, cache = net.forward(params, x)
        net.backward(cache, y)
        took.append(time.perf_counter() - start)
    print(f"{name:9} {1000 * min(took):6.1f} ms")
del os.environ["XPBPTT_ENGINE"]

# %%
# It learns
# ---------
#
# The task of chapter 4, what a sequence of 60 steps began with, for the new cell and for a GRU. The
# bias of f decides how long the cell remembers; -4 keeps 98 percent of the state in each step.


def learn(net, params, steps=150, T=60, B=64):
    """Return the share of right answers, step by step."""
    random = np.random.default_rng(1)
    readout, optimizer = xpbptt.Linear(net.hidden_size, 2), xpbptt.adam(learning_rate=0.005)
    params = {"net": params, "readout": readout.init(seed=1)}
    memory, right = optimizer.init(params), []
    for _ in range(steps):
        label = random.integers(0, 2, size=B)
        x = 0.3 * random.normal(size=(T, B, 1))
        x[0, :, 0] = 2 * label - 1
        y, _, cache = net.forward(params["net"], x.astype(np.float32))
        logits, kept = readout.forward(params["readout"], y[-1])
        _, dlogits = xpbptt.softmax_cross_entropy(logits, label)
        from_readout = readout.backward(kept, dlogits)
        dy = np.zeros_like(y)
        dy[-1] = from_readout.x
        grads = {"net": net.backward(cache, dy).params, "readout": from_readout.params}
        params, memory = optimizer.update(grads, memory, params)
        right.append(float((logits.argmax(axis=1) == label).mean()))
    return right


def with_bias(net, rows, bias):
    """Return parameters with the bias of some gates set."""
    (weights,) = net.init(seed=0)
    bias_ih = weights.bias_ih.copy()
    bias_ih[rows] = bias
    return (weights._replace(bias_ih=bias_ih),)


H = 32
mgu_net, gru = xpbptt.Net(mgu, 1, H), xpbptt.GRU(1, H)
curves = {
    "MGU": learn(mgu_net, with_bias(mgu_net, slice(0, H), -4)),
    "GRU": learn(gru, with_bias(gru, slice(H, 2 * H), 4)),
}
assert min(right[-1] for right in curves.values()) > 0.9

figure, axes = plt.subplots()
for name, right in curves.items():
    axes.plot(np.convolve(right, np.ones(5) / 5, mode="valid"), label=name)
axes.axhline(0.5, color="0.7", linestyle=":", zorder=0)
axes.set(xlabel="training step", ylabel="right answers", ylim=(0.4, 1.02))
axes.legend(loc="lower right")
plt.show()

# %%
# From here
# ---------
#
# A gate that does not look at the state needs no product with it: ``Cell(..., recurrent=("f",))``
# names those that do. A cell with parameters of its own, beside the two matrices, names their
# shapes in ``Cell(..., extra=...)``. ``Cell(..., projection=16)`` multiplies its output by one more
# matrix, as :doc:`the LSTM with projection </generated/cells/lstmp>` does. A cell with another
# second matrix product in the step is a `Recurrence`; the GRU with the reset gate before the
# product is one: :doc:`its page </generated/cells/gru_reset_before>`. The cells of this library are
# written as the one above. This is the whole derivative of the LSTM:

from xpbptt.cells import lstm

print(inspect.getsource(lstm.backward))
