r"""
5. Masks
========

Sequences rarely come in one length, and measurements have gaps. An array needs one length. A *mask*
says which steps of it are real.
"""

import matplotlib.pyplot as plt
import numpy as np

import xpbptt
from xpbptt.testing import check_gradients

# %%
# What a mask means
# -----------------
#
# A mask is a boolean array ``(T, B)``. Where it is False, the step does not take place: the state
# is passed on unchanged, the output is zero, and the input is not looked at. In equations, with
# :math:`m_t` 1 or 0:
#
# .. math::
#
#    h_t &= m_t\, \mathrm{step}(h_{t-1}, x_t) + (1 - m_t)\, h_{t-1} \\
#    y_t &= m_t\, h_t
#
# For sequences of different lengths, ``length_mask`` makes it:

T, B, I, H = 24, 5, 3, 16
lengths = [24, 9, 17, 0, 13]
mask = xpbptt.length_mask(lengths, T)
print(mask.shape, mask.sum(axis=0))

# %%
# Any other pattern is as good. This one has padding at the end and gaps in the middle:

random = np.random.default_rng(0)
mask &= random.random(size=(T, B)) > 0.2
x = np.cumsum(random.normal(size=(T, B, I)), axis=0)

# %%
# The padding may be anything, also NaN, which is what a table with missing values has in it:

x[~mask] = np.nan
net = xpbptt.GRU(I, H)
params = net.init(seed=0, dtype="float64")
y, state, cache = net.forward(params, x, mask=mask)
assert np.isfinite(y).all()

# %%
# A padded batch is the same as each sequence alone, and the final state is the one after the last
# real step of each sequence:

for b in range(B):
    real = x[mask[:, b], b][:, None, :]
    alone, (own,) = net.infer(params, real)
    assert np.allclose(y[mask[:, b], b], alone[:, 0])
    assert np.allclose(state[0].h[b], own.h[0])

# %%
# The state steps over the gaps
# -----------------------------
#
# Above, the mask; below, one number of each state against time. It stands still where the mask is
# False. (Outputs are zero there, so the states are those of a stream that was stopped at each
# step.)

states = np.stack([net.infer(params, x[:t], mask=mask[:t])[1][0].h for t in range(1, T + 1)])

figure, (above, below) = plt.subplots(2, 1, sharex=True, height_ratios=(1, 2))
above.imshow(mask.T, aspect="auto", cmap="Blues", vmin=0, vmax=1.4, interpolation="nearest")
above.set(ylabel="sequence", yticks=range(B))
for b in range(B):
    (line,) = below.step(range(T), states[:, b, 0], where="mid", linewidth=1, label=f"sequence {b}")
    there = np.flatnonzero(mask[:, b])
    below.plot(there, states[there, b, 0], "o", markersize=3.5, color=line.get_color())
below.set(xlabel="time step", ylabel="$h_1$")
below.legend(fontsize=8, ncols=B, loc="upper center", bbox_to_anchor=(0.5, 1.2))
plt.show()

# %%
# Gradients and the loss
# ----------------------
#
# The derivative follows the equations: the gradient of a masked step passes to the step before it
# unchanged, and what was not looked at has the gradient zero. ``check_gradients`` compares it with
# the complex step, for every input at once:

grads = net.backward(cache, np.ones_like(y))
assert not grads.x[~mask].any()
print(check_gradients(net, params, np.nan_to_num(x), mask=mask).method)

# %%
# A loss is a mean over the steps that count, so it takes the mask, too. Otherwise the zeros of the
# padding count as predictions, and a batch with much padding looks better than it is:

target = np.ones_like(y)
counted, _ = xpbptt.mean_squared_error(y, target, mask=mask)
diluted, _ = xpbptt.mean_squared_error(y, target)
print(f"steps that count: {counted:.3f}, all: {diluted:.3f}")

# %%
# Where a sequence is made of *episodes*, the state has to begin afresh in the middle of it. That is
# ``reset=``, another boolean array (T, B), which goes together with a mask. The :doc:`cookbook
# </cookbook/episodes>` has it.
