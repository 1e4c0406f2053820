r"""
1. A step by hand
=================

A recurrent net reads a sequence one element at a time and remembers what it has read. Its memory is
a vector, the *state* :math:`h`. At each time step it makes a new state from the old one and from
the element that it reads:

.. math::

   h_t = \tanh(W_{ih}\, x_t + b_{ih} + W_{hh}\, h_{t-1} + b_{hh})

This is the simple recurrent net of Elman (1990). Everything in this course is a variation of it.
"""

import matplotlib.pyplot as plt
import numpy as np

import xpbptt

# %%
# Two inputs, two hidden units, and weights that are easy to follow: the first unit turns into the
# second and the second into the negative of the first, and the input pushes the first one only.

weight_ih = np.array([[1.0, 0.5], [0.0, 0.0]])
weight_hh = np.array([[0.75, -0.55], [0.55, 0.75]])
bias = np.zeros(2)

# %%
# One step, by hand. The state starts at zero, so only the input counts:

x_1 = np.array([0.6, -0.2])
h_0 = np.zeros(2)
h_1 = np.tanh(weight_ih @ x_1 + bias + weight_hh @ h_0 + bias)
print(h_1)

# %%
# The first number is :math:`\tanh(1 \cdot 0.6 + 0.5 \cdot (-0.2)) = \tanh(0.5) = 0.4621`; the
# second is :math:`\tanh(0) = 0`. Now a step without any input. The state moves all the same,
# because :math:`W_{hh}` carries it on:

h_2 = np.tanh(weight_hh @ h_1)
print(h_2)

# %%
# The net of this library
# -----------------------
#
# In ``xpbptt`` a net is a set of functions and holds no arrays. The parameters go in with each
# call, as a tuple with one entry for each layer, under the names that PyTorch gave them:

net = xpbptt.RNN(input_size=2, hidden_size=2)
params = (xpbptt.Weights(weight_ih, weight_hh, bias, bias),)
y_1, state = net.step(params, x_1[None, :])
y_2, state = net.step(params, np.zeros((1, 2)), state)
print(y_1, y_2)
assert np.allclose(y_1, h_1)
assert np.allclose(y_2, h_2)

# %%
# The extra axis is the batch: ``x_t`` is ``(B, I)``, that is B sequences side by side with I inputs
# each. A whole sequence is ``x (T, B, I)``, time first, and is read in one call:

x = np.zeros((40, 1, 2))
x[0, 0] = x_1
y, state = net.infer(params, x)
print(y.shape)
assert np.allclose(y[1], h_2)

# %%
# What the state does
# -------------------
#
# One push, and then 39 steps of silence. The state spirals back to zero: this net remembers *that*
# it was pushed for about 30 steps, and by the angle it knows *how long ago*. Another push at step
# 15 meets a state that is still moving, so the net answers it differently.

x_twice = x.copy()
x_twice[15, 0] = x_1
y_twice, _ = net.infer(params, x_twice)

figure, (time, plane) = plt.subplots(1, 2, width_ratios=(3, 2))
for k, colour in enumerate(("C0", "C1")):
    time.plot(y_twice[:, 0, k], color=colour, label=f"$h_{k + 1}$, two pushes")
    time.plot(y[:, 0, k], color=colour, alpha=0.4, linestyle="--", label=f"$h_{k + 1}$, one push")
time.axvline(15, color="0.8", zorder=0)
time.set(xlabel="time step", ylabel="state", ylim=(-0.5, 0.95))
time.legend(fontsize=8, ncols=2, loc="upper center")
plane.plot(*y_twice[:, 0].T, color="C2", marker=".", linewidth=1)
plane.plot(*y_twice[[0, 15], 0].T, "o", color="C1")
plane.annotate("first push", y_twice[0, 0], (0, -14), textcoords="offset points", fontsize=8)
plane.annotate("second", y_twice[15, 0], (4, 6), textcoords="offset points", fontsize=8)
plane.set(xlabel="$h_1$", ylabel="$h_2$", aspect="equal")
plt.show()

# %%
# That is all a recurrent net does when it runs. What is left is how it learns its weights, which is
# the next chapter.
