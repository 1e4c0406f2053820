r"""
2. Backpropagation through time
===============================

To learn, a net needs the gradient: how much the loss changes with each weight. This chapter derives
it on paper, writes it down in a dozen lines, and then finds the same lines in ``cells/rnn.py``.
"""

import inspect

import matplotlib.pyplot as plt
import numpy as np

import xpbptt
from xpbptt.cells import rnn

# %%
# On paper
# --------
#
# Write :math:`a_t` for what goes into the tanh:
#
# .. math::
#
#    a_t &= W_{ih}\, x_t + W_{hh}\, h_{t-1} + b \\
#    h_t &= \tanh(a_t)
#
# The loss :math:`L` depends on every state. Write :math:`\mathrm{d}h_t` for the gradient of the
# loss by :math:`h_t`, and likewise for every other name. The state at step t reaches the loss in
# two ways: directly, as the output of that step, and through the next state. Both add up:
#
# .. math::
#
#    \mathrm{d}h_t &= \mathrm{d}y_t + W_{hh}^\top\, \mathrm{d}a_{t+1} \\
#    \mathrm{d}a_t &= \mathrm{d}h_t \odot (1 - h_t \odot h_t)
#
# The second line is the derivative of tanh. Because :math:`\mathrm{d}a_{t+1}` is needed for
# :math:`\mathrm{d}h_t`, the computation runs from the last step to the first: backpropagation
# *through time*. The weights are the same in every step, so their gradients are sums over the
# steps:
#
# .. math::
#
#    \mathrm{d}W_{hh} = \sum_t \mathrm{d}a_t\, h_{t-1}^\top, \qquad
#    \mathrm{d}W_{ih} = \sum_t \mathrm{d}a_t\, x_t^\top, \qquad
#    \mathrm{d}b = \sum_t \mathrm{d}a_t

# %%
# In a dozen lines
# ----------------
#
# For one sequence, with a loss that reads all outputs: half the squared distance to a target.

T, I, H = 30, 3, 4
random = np.random.default_rng(0)
weight_ih, weight_hh = random.normal(size=(H, I)), random.normal(size=(H, H)) / 2
bias = random.normal(size=H)
x, target = random.normal(size=(T, I)), random.normal(size=(T, H))


def forward(weight_hh):
    """Return the states before and after all steps, (T + 1, H), the first one zero."""
    h = [np.zeros(H)]
    for t in range(T):
        h.append(np.tanh(weight_ih @ x[t] + weight_hh @ h[t] + bias))
    return np.stack(h)


def backward(h, dy):
    """Return the gradient of W_hh step by step, (T, H, H)."""
    from_later = np.zeros(H)
    parts = np.zeros((T, H, H))
    for t in reversed(range(T)):
        dh = dy[t] + from_later
        da = dh * (1 - h[t + 1] ** 2)
        parts[t] = np.outer(da, h[t])
        from_later = weight_hh.T @ da
    return parts


h = forward(weight_hh)
parts = backward(h, dy=h[1:] - target)
by_hand = parts.sum(axis=0)

# %%
# Is it right? Gradients are easy to get wrong and hard to see wrong: a net with a false gradient
# still learns, only worse. So compare with the derivative itself. The *complex step* changes a
# weight by :math:`i\varepsilon` and reads the derivative off the imaginary part, without any
# rounding error:


def loss(weight_hh):
    """Return half the squared distance."""
    h = [np.zeros(H, dtype=weight_hh.dtype)]
    for t in range(T):
        h.append(np.tanh(weight_ih @ x[t] + weight_hh @ h[t] + bias))
    return ((np.stack(h[1:]) - target) ** 2).sum() / 2


derivative = np.zeros((H, H))
for place in np.ndindex(H, H):
    moved = weight_hh.astype(complex)
    moved[place] += 1e-30j
    derivative[place] = loss(moved).imag / 1e-30
print(f"largest difference: {abs(by_hand - derivative).max():.1e}")
assert np.allclose(by_hand, derivative, rtol=1e-12)

# %%
# In ``cells/rnn.py``
# -------------------
#
# The library separates what belongs to a kind of net from what belongs to all of them. The loop
# over time, the products with the matrices and the sums are the same for every net. What is left of
# the RNN are two functions without any loop or matrix, its *cell*. ``u`` is the part of :math:`a`
# that comes from the input and ``v`` the part that comes from the state:

print(inspect.getsource(rnn.tanh_forward))
print(inspect.getsource(rnn.tanh_backward))

# %%
# ``da`` is our second line. The first line, which adds the gradient of the next step, and the sums
# are in the loop. ``State(h=None)`` says that the old state reaches the new one through the product
# with :math:`W_{hh}` alone. The net gives the same numbers:

net = xpbptt.RNN(I, H)
params = (xpbptt.Weights(weight_ih, weight_hh, bias, np.zeros(H)),)
y, state, cache = net.forward(params, x[:, None, :])
grads = net.backward(cache, y - target[:, None, :])
print(f"largest difference: {abs(grads.params[0].weight_hh - by_hand).max():.1e}")
assert np.allclose(grads.params[0].weight_hh, by_hand, rtol=1e-12)

# %%
# ``forward`` returns a *cache*, what the backward pass needs to know of the forward pass: here all
# the states. How much is kept can be chosen, which is :doc:`chapter 6 <plot_6_memory>`.
#
# Where a gradient comes from
# ---------------------------
#
# The loop adds up one small matrix a step. Here the loss reads only the last output, and the
# picture shows how much each step puts into the gradient of :math:`W_{hh}`:

last_only = np.zeros((T, H))
last_only[-1] = h[-1] - target[-1]
shares = np.linalg.norm(backward(h, last_only), axis=(1, 2))

figure, axes = plt.subplots()
axes.bar(range(T), shares, color=["C1" if t == T - 1 else "C0" for t in range(T)])
axes.set(xlabel="time step", ylabel="norm of its part of $dW_{hh}$")
axes.annotate("the loss is here", (T - 1, shares[-1]), (-110, -6), textcoords="offset points",
              arrowprops={"arrowstyle": "->"}, fontsize=9)  # fmt: skip
plt.show()

# %%
# Steps that lie ten steps before the loss put in next to nothing. Why, and what it means for
# learning, is the next chapter.
