r"""
Gestures of unequal length
==========================

Six gestures, drawn with a pen or a finger: each at its own speed, size, angle and place, with a
trembling hand. A bidirectional LSTM reads the movements and says which gesture it was. The drawings
have 25 to 90 points, so a batch needs a mask.
"""

# sphinx_gallery_thumbnail_number = 2

import matplotlib.pyplot as plt
import numpy as np

import xpbptt

# %%
# The gestures
# ------------

LONGEST = 90


def along(corners, part):
    """Return points on a line through corners, at shares of its length."""
    corners = np.asarray(corners, dtype=float)
    lengths = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(corners, axis=0).T))])
    return np.stack([np.interp(part * lengths[-1], lengths, c) for c in corners.T], axis=1)


def circle(part):
    """Return a circle."""
    return np.stack([np.sin(2 * np.pi * part), -np.cos(2 * np.pi * part)], axis=1)


def eight(part):
    """Return a figure of eight."""
    return np.stack([np.sin(4 * np.pi * part) / 2, np.cos(2 * np.pi * part)], axis=1)


def spiral(part):
    """Return a spiral of two turns."""
    return part[:, None] * np.stack([np.cos(4 * np.pi * part), np.sin(4 * np.pi * part)], axis=1)


def square(part):
    """Return a square."""
    return along([(-1, 1), (1, 1), (1, -1), (-1, -1), (-1, 1)], part)


def zigzag(part):
    """Return a zigzag line."""
    return along([(-1, 0.5), (-0.5, -0.5), (0, 0.5), (0.5, -0.5), (1, 0.5)], part)


def tick(part):
    """Return a tick mark."""
    return along([(-0.8, 0.1), (-0.3, -0.7), (0.9, 0.9)], part)


GESTURES = (circle, eight, spiral, square, zigzag, tick)
NAMES = [each.__name__ for each in GESTURES]


def draw(random, label):
    """Return the points of one drawing, (N, 2)."""
    count = random.integers(25, LONGEST + 1)
    speed = np.cumsum(np.exp(0.5 * np.cumsum(random.normal(size=count)) / np.sqrt(count)))
    points = GESTURES[label]((speed - speed[0]) / (speed[-1] - speed[0]))
    angle = random.normal() * 0.35
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    tremble = np.cumsum(random.normal(size=(count, 2)), axis=0) * 0.025
    return random.uniform(0.6, 1.4) * (points * random.uniform(0.7, 1.3, size=2)) @ turn + tremble


def batch(random, size):
    """Return movements (T, B, 2), the mask (T, B), labels (B,) and the drawings."""
    label = random.integers(0, len(GESTURES), size=size)
    drawings = [draw(random, each) for each in label]
    x = np.zeros((LONGEST, size, 2), dtype=np.float32)
    for b, points in enumerate(drawings):
        x[: len(points) - 1, b] = 10 * np.diff(points, axis=0)  # movements, not places
    mask = xpbptt.length_mask([len(points) - 1 for points in drawings], LONGEST)
    return x, mask, label, drawings


random = np.random.default_rng(1)
figure, axes = plt.subplots(3, 6, figsize=(7, 3.9))
for row in axes:
    for k, panel in enumerate(row):
        points = draw(random, k)
        panel.plot(*points.T, color="0.8", linewidth=1, zorder=0)
        panel.scatter(*points.T, c=range(len(points)), s=4, cmap="viridis")
        panel.set(aspect="equal", xticks=[], yticks=[])
        panel.margins(0.15)
        panel.spines[:].set_visible(False)
for panel, name in zip(axes[0], NAMES, strict=True):
    panel.set_title(name, fontsize=10)
plt.show()

# %%
# The net
# -------
#
# The outputs of both directions are averaged over the steps that count. Outputs of masked steps are
# zero, so that is a sum divided by the length. The derivative of a mean is a share for every step;
# what arrives at masked steps is ignored by ``backward``.

H = 32
net, readout = xpbptt.LSTM(2, H, bidirectional=True), xpbptt.Linear(2 * H, len(GESTURES))
params = {"net": net.init(seed=0), "readout": readout.init(seed=1)}
optimizer = xpbptt.adam(learning_rate=0.01)
memory, random = optimizer.init(params), np.random.default_rng(0)
accuracy = []
for _ in range(140):
    x, mask, label, _ = batch(random, 48)
    lengths = mask.sum(axis=0).astype(np.float32)[:, None]
    y, _, cache = net.forward(params["net"], x, mask=mask)
    logits, kept = readout.forward(params["readout"], y.sum(axis=0) / lengths)
    _, dlogits = xpbptt.softmax_cross_entropy(logits, label)
    from_readout = readout.backward(kept, dlogits)
    dy = np.broadcast_to(from_readout.x / lengths, y.shape)
    grads = {"net": net.backward(cache, dy).params, "readout": from_readout.params}
    grads, _ = xpbptt.clip_by_global_norm(grads, 1.0)
    params, memory = optimizer.update(grads, memory, params)
    accuracy.append(float((logits.argmax(axis=1) == label).mean()))

# %%
# How well it does
# ----------------
#
# On 600 new drawings. On the left which gesture was taken for which; on the right one drawing of
# each kind, coloured by how sure the net is of the right answer when the drawing *ends* at that
# point: how much of a gesture it has to see.


def probabilities(x, mask):
    """Return the probability of each gesture, (B, K)."""
    y, _ = net.infer(params["net"], x, mask=mask)
    mean = y.sum(axis=0) / mask.sum(axis=0).astype(np.float32)[:, None]
    logits, _ = readout.forward(params["readout"], mean)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


x, mask, label, drawings = batch(np.random.default_rng(5), 600)
guess = probabilities(x, mask).argmax(axis=1)
right = (guess == label).mean()
assert right > 0.95

figure = plt.figure(figsize=(8.4, 4.2))
left, side = figure.subfigures(1, 2, width_ratios=(1, 1.15))
table = np.zeros((len(NAMES), len(NAMES)), dtype=int)
np.add.at(table, (label, guess), 1)
panel = left.subplots()
panel.imshow(table, cmap="Blues")
for place in np.ndindex(table.shape):
    colour = "white" if table[place] > table.max() / 2 else "0.4"
    panel.text(*place[::-1], table[place] or "", ha="center", va="center", color=colour, fontsize=9)
panel.set(
    xticks=range(6), yticks=range(6), yticklabels=NAMES, xlabel="the net says", ylabel="drawn"
)
panel.set_xticks(range(6), NAMES, rotation=45, ha="right")
panel.set_title(f"{100 * right:.1f} % are right", fontsize=10)
panels = side.subplots(2, 3).ravel()
for k, panel in enumerate(panels):
    b = int(np.flatnonzero((label == k) & (mask.sum(axis=0) > 50))[0])
    points, length = drawings[b], int(mask[:, b].sum())
    # The drawing, ended at each of its points, is a batch.
    ends = xpbptt.length_mask(range(1, length + 1), LONGEST)
    sure = probabilities(np.repeat(x[:, b : b + 1], length, axis=1), ends)[:, k]
    panel.plot(*points.T, color="0.85", linewidth=1, zorder=0)
    shown = panel.scatter(*points[1:].T, c=sure, s=9, cmap="RdYlGn", vmin=0, vmax=1)
    panel.plot(*points[0], "k>", markersize=4)
    panel.set(aspect="equal", xticks=[], yticks=[], title="")
    panel.set_title(NAMES[k], fontsize=10)
    panel.margins(0.15)
    panel.spines[:].set_visible(False)
side.colorbar(shown, ax=panels.tolist(), orientation="horizontal", shrink=0.7, aspect=30,
              label="probability of the right answer so far")  # fmt: skip
plt.show()
