r"""
6. Memory as a value
====================

The backward pass needs to know what happened in the forward pass. Kept in full, that is by far the
largest thing in the memory of a training run: for an LSTM six arrays of the size of the state in
every step. This chapter trades memory for time.
"""

import time

import matplotlib.pyplot as plt
import numpy as np

import xpbptt

# %%
# What is kept is a value
# -----------------------
#
# The argument ``bptt=`` of ``forward`` says what to keep. It is a plain value that can be printed,
# compared and passed around. ``net.cost`` says what it will cost before anything is run:

net = xpbptt.LSTM(64, 64)
strategies = (
    xpbptt.KeepAll(),  # everything, the fastest
    xpbptt.KeepStates(),  # the states; the gates once more, many steps at once
    xpbptt.Segments(),  # a state every √T steps or so, and one extra forward pass
    xpbptt.Binomial(8),  # at most 8 states, with the least number of extra steps
)
for bptt in strategies:
    cost = net.cost(1000, 8, "float32", bptt=bptt)
    print(f"{bptt!r:24} keeps {cost.bytes / 1e6:6.2f} MB and runs {cost.steps} steps")

# %%
# How each of them works:
#
# ``KeepStates``
#     keeps h and c. The gates follow from them, all steps at once in one matrix product, so nothing
#     is run through time again.
# ``Segments``
#     keeps the state every k steps. On the way back it runs each segment once more from its first
#     state, and keeps everything of that one segment. With k near :math:`\sqrt{T}` both parts are
#     small (Chen et al. 2016).
# ``Binomial``
#     keeps a fixed number of states, whatever T is, at the steps that need the fewest repetitions:
#     with s states and r repetitions it reaches :math:`\binom{s + r}{s}` steps (Griewank and
#     Walther 2000).
#
# None of them changes the gradients:

x = np.random.default_rng(0).normal(size=(1000, 8, 64)).astype(np.float32)
params = net.init(seed=0)
found = []
for bptt in strategies:
    y, _, cache = net.forward(params, x, bptt=bptt)
    found.append(net.backward(cache, np.ones_like(y)).params[0].weight_hh)
for other in found[1:]:
    assert abs(other - found[0]).max() < 1e-4 * abs(found[0]).max()

# %%
# The whole picture
# -----------------
#
# On the left, what is kept against the length of the sequence. On the right, in the same colours,
# the time of a forward and backward pass over 1000 steps on the machine that built this page,
# beside what is kept:

lengths = np.unique(np.geomspace(10, 100_000, 60).astype(int))
figure, (left, right) = plt.subplots(1, 2)
for k, bptt in enumerate(strategies):
    kept = [net.cost(int(length), 8, "float32", bptt=bptt).bytes / 1e6 for length in lengths]
    left.loglog(lengths, kept, label=repr(bptt))
    times = []
    for _ in range(5):
        start = time.perf_counter()
        y, _, cache = net.forward(params, x, bptt=bptt)
        net.backward(cache, y)
        times.append(time.perf_counter() - start)
    kept = net.cost(1000, 8, "float32", bptt=bptt).bytes / 1e6
    right.semilogx(kept, 1000 * min(times), "o", color=f"C{k}")
left.set(xlabel="T", ylabel="kept, MB")
left.legend(fontsize=8)
right.set(xlabel="kept, MB", ylabel="forward and backward, ms")
right.set_ylim(0, 1.2 * right.get_ylim()[1])
plt.show()

# %%
# The two that are left
# ---------------------
#
# ``Budget`` picks the fastest of these that fits into a number of bytes, and says so if none does:

cost = net.cost(1000, 8, "float32", bptt=xpbptt.Budget(2_000_000))
print(cost.strategy, cost.bytes)

# %%
# ``Truncated(50)`` is the only one that changes the gradients: it cuts them every 50 steps. That is
# what one does with a text or a recording that has no end: read a piece, learn from it, carry the
# state on.
