r"""
3. Why gradients vanish
=======================

A net that should learn that something at step 1 matters at step 100 needs a gradient that arrives
at step 1. Often nothing arrives. This chapter shows why, and where to look.
"""

import matplotlib.pyplot as plt
import numpy as np

import xpbptt

# %%
# One step back multiplies
# ------------------------
#
# The last chapter had the gradient go from a state to the one before it:
#
# .. math::
#
#    \mathrm{d}h_{t-1} = W_{hh}^\top \left( (1 - h_t \odot h_t) \odot \mathrm{d}h_t \right)
#
# After k steps it has been multiplied k times by nearly the same matrix. A number that is
# multiplied by 0.9 a hundred times is 0.00003, and by 1.1 it is 13 780: there is hardly anything in
# between. For a matrix the size of its largest eigenvalue, its *spectral radius*, plays the part of
# that number, and the factor :math:`1 - h^2`, which is at most 1, makes it smaller (Hochreiter
# 1991; Bengio, Simard and Frasconi 1994).
#
# The library shows it. ``backward(..., trace=True)`` returns, beside the gradients, the norm of the
# gradient at each time step. The loss reads only the last output, and three nets differ in nothing
# but the spectral radius of :math:`W_{hh}`:

T, B, I, H = 100, 8, 4, 64
random = np.random.default_rng(0)
x = 0.1 * random.normal(size=(T, B, I))
dy = np.zeros((T, B, H))
dy[-1] = 1 / H
square = random.normal(size=(H, H))
square /= abs(np.linalg.eigvals(square)).max()
net = xpbptt.RNN(I, H)
(first,) = net.init(seed=0, dtype="float64")


def norms(radius):
    """Return the norm of the gradient of the state at each step."""
    params = (first._replace(weight_hh=radius * square),)
    y, _, cache = net.forward(params, x)
    _, (trace,) = net.backward(cache, dy, trace=True)
    return trace.state.h


figure, axes = plt.subplots()
for radius in (0.7, 1.0, 1.6):
    axes.semilogy(norms(radius), label=f"spectral radius {radius}")
axes.set(xlabel="time step", ylabel="norm of the gradient")
axes.legend(title="the loss is at the right end", loc="lower right")
plt.show()

# %%
# Read it from right to left, as the gradient goes. At 0.7 it loses a power of ten about every six
# steps: what happened 60 steps ago changes the weights ten billion times less than what happened
# just now. At 1.6 the gradient grows instead. Only near 1 does it arrive in good shape, and no
# training keeps a net exactly there.
#
# All parts of a net
# ------------------
#
# ``xpbptt.plot.gradient_flow`` draws a trace as it is, one panel a layer, with the gates in thin
# lines. Here two layers of an RNN as ``init`` makes them:

deep = xpbptt.RNN(I, H, num_layers=2)
y, _, cache = deep.forward(deep.init(seed=1, dtype="float64"), x)
_, trace = deep.backward(cache, dy, trace=True)
figure = xpbptt.plot.gradient_flow(trace)

# %%
# When it explodes
# ----------------
#
# A gradient that explodes is easier to handle: it can be made shorter. The usual remedy scales the
# sum at the end, ``xpbptt.clip_by_global_norm``. By then one step far back has drowned all others.
# ``clip_step`` scales inside the loop, where the gradient of one sequence is handed from a step to
# the one before:

params = (first._replace(weight_hh=1.6 * square),)
y, _, cache = net.forward(params, x)
figure, axes = plt.subplots()
for clip_step in (None, 0.1):
    grads, (trace,) = net.backward(cache, dy, trace=True, clip_step=clip_step)
    axes.semilogy(trace.state.h, label=f"clip_step={clip_step}")
axes.set(xlabel="time step", ylabel="norm of the gradient")
axes.legend()
plt.show()

# %%
# A gradient that vanishes cannot be made longer: there is no direction left in it. It needs another
# cell, one that does not multiply the state by a matrix in each step. That is the LSTM.
