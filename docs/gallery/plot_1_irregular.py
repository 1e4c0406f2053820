r"""
Gaps and irregular steps
========================

A patient's chart, a buoy, a phone: most series of the real world are measured when somebody or
something got round to it. Here three sensors watch an oscillation that dies out. They are read at
irregular times, each reading may lack any of the three values, and the last readings are followed
by moments at which nothing was measured and the net has to say what the values are.
"""

# sphinx_gallery_thumbnail_number = 2

import matplotlib.pyplot as plt
import numpy as np

import xpbptt

# %%
# The data
# --------
#
# Every series has its own frequency, damping and phase; the three sensors see the same oscillation
# a third of a period apart. Times between readings are drawn from an exponential distribution. What
# a net reads at each time is, for each sensor, the value and whether there is one, and the time
# ``dt`` since the reading before and until the next one:

T, PAST, B = 60, 40, 32  # steps, those of them with readings, series in a batch


def clean(times, frequency, damping, phase):
    """Return the three true values at some times, (..., 3)."""
    angle = 2 * np.pi * frequency * times + phase
    angles = angle[..., None] + 2 * np.pi / 3 * np.arange(3)
    return np.exp(-damping * times)[..., None] * np.sin(angles)


def series(random, batch):
    """Return times (T, B), what is known of each series, and readings with NaN for gaps."""
    steps = random.exponential(0.12, size=(T, batch)) + 0.02
    times = np.cumsum(steps, axis=0)
    known = (
        random.uniform(0.35, 0.8, size=batch),
        random.uniform(0.05, 0.25, size=batch),
        random.uniform(0, 2 * np.pi, size=batch),
    )
    values = clean(times, *known) + 0.05 * random.normal(size=(T, batch, 3))
    values[random.random(values.shape) < 0.4] = np.nan
    values[PAST:] = np.nan
    return times, known, values


def features(times, values, *, with_dt=True):
    """Return the input of the net, (T, B, 8): gaps as zeros beside a flag, and the times."""
    there = ~np.isnan(values)
    before = np.diff(times, axis=0, prepend=times[:1])
    after = np.diff(times, axis=0, append=times[-1:])
    around = np.stack([before, after], axis=2) if with_dt else np.zeros((*times.shape, 2))
    parts = (np.where(there, values, 0), there, 4 * around)
    return np.concatenate(parts, axis=2).astype(np.float32)


# %%
# A reading that lacks all three values tells nothing but the time; the mask could leave it out, and
# ``dt`` would then have to count from the reading before. Here it stays. The mask is for series of
# different lengths: each ends between 40 and 60 steps, and its end does not count.
#
# The net
# -------
#
# A GRU and a linear readout, which after each reading say the values at the *next* one. The loss
# compares with the truth wherever the mask is True.


class Model:
    """A net with a readout."""

    def __init__(self, *, with_dt):
        self.with_dt = with_dt
        self.net, self.readout = xpbptt.GRU(8, 40), xpbptt.Linear(40, 3)
        self.params = {"net": self.net.init(seed=0), "readout": self.readout.init(seed=1)}

    def learn(self, steps=350):
        """Train, and return the losses."""
        random = np.random.default_rng(2)
        memory, losses = xpbptt.adam(0.02).init(self.params), []
        for step in range(steps):
            optimizer = xpbptt.adam(0.02 * (1 - step / steps))
            times, known, values = series(random, B)
            mask = xpbptt.length_mask(random.integers(PAST, T + 1, size=B) - 1, T)
            x = features(times, values, with_dt=self.with_dt)
            target = np.roll(clean(times, *known), -1, axis=0).astype(np.float32)
            y, _, cache = self.net.forward(self.params["net"], x, mask=mask)
            guess, kept = self.readout.forward(self.params["readout"], y)
            loss, dguess = xpbptt.mean_squared_error(guess, target, mask=mask)
            from_readout = self.readout.backward(kept, dguess)
            grads = {
                "net": self.net.backward(cache, from_readout.x).params,
                "readout": from_readout.params,
            }
            grads, _ = xpbptt.clip_by_global_norm(grads, 1.0)
            self.params, memory = optimizer.update(grads, memory, self.params)
            losses.append(float(loss))
        return losses

    def guess(self, times, values):
        """Return the values that it expects at each time, from the readings before."""
        x = features(times, values, with_dt=self.with_dt)
        y, _ = self.net.infer(self.params["net"], x)
        guess, _ = self.readout.forward(self.params["readout"], y)
        return np.roll(guess, 1, axis=0)


models = {"with dt": Model(with_dt=True), "without dt": Model(with_dt=False)}
figure, axes = plt.subplots(figsize=(7, 2.8))
for name, model in models.items():
    axes.semilogy(np.convolve(model.learn(), np.ones(10) / 10, mode="valid"), label=name)
axes.set(xlabel="training step", ylabel="mean squared error")
axes.legend()
plt.show()

# %%
# What it expects
# ---------------
#
# A series that the nets have not seen. Dots are readings, the thin line is the truth, and the
# strong line is what the net expects of each moment from what came before it. In the grey part
# nothing is measured any more. The net without ``dt`` knows the values but not the time, so it
# cannot know how far the oscillation has gone. The curves at the bottom are errors over 500 series.

random = np.random.default_rng(7)
times, known, values = series(random, 500)
errors = {
    name: np.sqrt(np.nanmean((model.guess(times, values) - clean(times, *known)) ** 2, axis=(1, 2)))
    for name, model in models.items()
}
assert errors["with dt"][PAST - 5 : PAST + 5].mean() < 0.6 * errors["without dt"][PAST - 5 :].mean()

figure, panels = plt.subplots(3, 1, figsize=(7, 6.6), height_ratios=(2, 2, 1.2))
shown = 3
fine = np.linspace(0, times[-1, shown], 400)
for panel, (name, model) in zip(panels, models.items(), strict=False):
    guess = model.guess(times, values)
    panel.axvspan(times[PAST - 1, shown], times[-1, shown], color="0.94")
    for k in range(3):
        truth = clean(fine, *(each[shown] for each in known))[:, k]
        panel.plot(fine, truth, color=f"C{k}", linewidth=0.8, alpha=0.6)
        panel.plot(times[1:, shown], guess[1:, shown, k], color=f"C{k}", linewidth=2)
        panel.plot(times[:, shown], values[:, shown, k], "o", color=f"C{k}", markersize=3.5)
    panel.set(ylabel=name, ylim=(-1.15, 1.15), xlim=(0, times[-1, shown]))
panels[1].set_xlabel("time")
for name, error in errors.items():
    panels[2].plot(range(1, T), error[1:], label=name)
panels[2].axvspan(PAST - 1, T - 1, color="0.94")
panels[2].set(xlabel="step", ylabel="error", ylim=(0, None), xlim=(0, T - 1))
panels[2].legend(fontsize=8, loc="upper right")
plt.show()
