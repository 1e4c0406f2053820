r"""
An audio effect, learnt and streamed
====================================

A small LSTM learns to sound like an effect box, from nothing but a recording of what goes in and
what comes out, as in the work of Wright, Damskägg and Välimäki (2019). Then it runs as a plug-in
would: block by block, with its state carried on.
"""

# sphinx_gallery_thumbnail_number = 2

import time

import matplotlib.pyplot as plt
import numpy as np

import xpbptt

RATE = 16_000  # samples a second

# %%
# The sound
# ---------
#
# Plucked strings by the algorithm of Karplus and Strong: a burst of noise goes round in a delay
# line and is smoothed a little on each round.


def pluck(random, frequency, seconds):
    """Return a plucked string."""
    period = int(RATE / frequency)
    line = random.uniform(-1, 1, size=period)
    rounds = []
    for _ in range(int(seconds * RATE / period) + 1):
        rounds.append(line)
        line = 0.496 * (line + np.roll(line, 1))
    return np.concatenate(rounds)[: int(seconds * RATE)]


def play(random, seconds):
    """Return a tune: a string plucked every quarter of a second, at varying strength."""
    notes = 110 * 2 ** (random.choice([0, 3, 5, 7, 10, 12, 15], size=int(4 * seconds)) / 12)
    strength = random.uniform(0.25, 1, size=len(notes))
    plucked = [s * pluck(random, note, 0.25) for s, note in zip(strength, notes, strict=True)]
    return np.concatenate(plucked)


# %%
# The box
# -------
#
# An overdrive with a memory. A valve stage that saturates, more on one side than on the other;
# whose operating point sags when it is played hard, and comes back within a tenth of a second; and
# a low-pass filter behind it. The net is told none of that.


def box(x):
    """Return what the effect makes of a recording."""
    y = np.zeros_like(x)
    sag = low = 0.0
    for n, sample in enumerate(x):
        sag += 0.0012 * (abs(sample) - sag)
        driven = 4 * sample - 3 * sag
        bent = np.tanh(driven) if driven > 0 else 0.6 * np.tanh(driven / 0.6)
        low += 0.5 * (bent - low)
        y[n] = low
    return y


recording = play(np.random.default_rng(0), 8.0)
heard = box(recording)

# %%
# Learning
# --------
#
# The recording is cut into 16 pieces that are read side by side. An update is made every 64
# samples, and the state goes on from one to the next: truncated BPTT. The net adds to the sound
# what the box does to it: its input also goes past it to the output. The learning rate falls to
# zero in the end.

H, PIECES, CHUNK = 16, 16, 64
net, readout = xpbptt.LSTM(1, H), xpbptt.Linear(H, 1)


def pieces(signal):
    """Return a recording as pieces side by side, (T, B, 1)."""
    return np.ascontiguousarray(signal.reshape(PIECES, -1).T[:, :, None]).astype(np.float32)


def learn(params, rounds=10):
    """Return parameters that were trained on the recording, and the error of each update."""
    x, target = pieces(recording), pieces(heard)
    memory, errors = xpbptt.adam(0.02).init(params), []
    energy = float((target**2).mean())
    for number in range(rounds):
        state, optimizer = None, xpbptt.adam(0.02 * (1 - number / rounds))
        for start in range(0, len(x), CHUNK):
            part, wanted = x[start : start + CHUNK], target[start : start + CHUNK]
            h, state, cache = net.forward(params["net"], part, state)
            added, kept = readout.forward(params["readout"], h)
            loss, dy = xpbptt.mean_squared_error(part + added, wanted)
            errors.append(float(loss) / energy)
            if start < CHUNK:  # the state was zero, which tells nothing about the box
                continue
            from_readout = readout.backward(kept, dy)
            grads = {
                "net": net.backward(cache, from_readout.x).params,
                "readout": from_readout.params,
            }
            grads, _ = xpbptt.clip_by_global_norm(grads, 1.0)
            params, memory = optimizer.update(grads, memory, params)
    return params, errors


params, errors = learn({"net": net.init(seed=0), "readout": readout.init(seed=1)})
figure, axes = plt.subplots(figsize=(7, 2.6))
axes.semilogy(np.convolve(errors, np.ones(20) / 20, mode="valid"))
axes.set(xlabel="update", ylabel="error over energy")
plt.show()

# %%
# Streaming
# ---------
#
# A sound card asks for a block of samples every few milliseconds, here 64 samples every 4 ms.
# ``stream`` checks everything once and keeps the state; ``process`` runs a block.

tune = play(np.random.default_rng(9), 3.0)
truth = box(tune)
stream = net.stream(params["net"])
made, took = [], []
for block in tune.astype(np.float32).reshape(-1, 64):
    start = time.perf_counter()
    h = stream.process(block[:, None, None])
    added, _ = readout.forward(params["readout"], h)
    made.append(block + added[:, 0, 0])
    took.append(time.perf_counter() - start)
made = np.concatenate(made)
print(f"a block of 4 ms takes {1000 * np.median(took):.2f} ms")

# %%
# In blocks or in one piece, the result is the same:

h, _ = net.infer(params["net"], tune.astype(np.float32)[:, None, None])
whole = tune + readout.forward(params["readout"], h)[0][:, 0, 0]
assert abs(whole - made).max() < 1e-4

# %%
# On a tune that it has never heard
# ---------------------------------

error = ((made - truth)[RATE // 4 :] ** 2).sum() / (truth[RATE // 4 :] ** 2).sum()
print(f"the error is {-10 * np.log10(error):.1f} dB below the sound")
assert error < 0.04

figure = plt.figure(figsize=(7.4, 6))
top, bottom = figure.subfigures(2, 1, height_ratios=(1, 1.1))
wave, curve = top.subplots(1, 2, width_ratios=(2, 1))
part = slice(int(1.02 * RATE), int(1.02 * RATE) + 240)
milliseconds = 1000 * np.arange(240) / RATE
wave.plot(milliseconds, tune[part], color="0.75", label="in")
wave.plot(milliseconds, truth[part], color="C0", linewidth=2.6, alpha=0.5, label="the box")
wave.plot(milliseconds, made[part], color="C1", linewidth=1, label="the net")
wave.set(xlabel="ms", ylim=(-1.1, 1.3))
wave.legend(fontsize=8, ncols=3, loc="upper right")
curve.plot(tune[RATE // 4 :: 7], truth[RATE // 4 :: 7], ",", color="C0", alpha=0.5)
curve.plot(tune[RATE // 4 :: 7], made[RATE // 4 :: 7], ",", color="C1", alpha=0.5)
curve.set(xlabel="in", ylabel="out")
panels = bottom.subplots(1, 3, sharey=True)
for panel, (name, sound) in zip(
    panels, {"in": tune, "the box": truth, "the net": made}.items(), strict=True
):
    *_, image = panel.specgram(sound + 1e-9, NFFT=512, Fs=RATE, noverlap=384, cmap="magma",
                               vmin=-110, vmax=-35)  # fmt: skip
    panel.set(xlabel="s", ylim=(0, 6000), title="")
    panel.set_title(name, fontsize=10)
panels[0].set_ylabel("Hz")
bottom.colorbar(image, ax=panels.tolist(), label="dB", shrink=0.8)
plt.show()
