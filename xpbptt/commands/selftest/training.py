"""A short training lowers the loss."""

from collections.abc import Iterator
from functools import partial

import numpy as np

import xpbptt
from xpbptt.commands.selftest.check import Check, CheckError, Setup
from xpbptt.commands.selftest.nets import NETS, H, I
from xpbptt.testing.laws.sample import BATCH, STEPS

UPDATES, SHARE = 30, 0.5  # of the loss, that may be left


def checks(setup: Setup) -> Iterator[Check]:
    """Yield a check for each net."""
    return (Check(f"training, {name}", partial(_run, name, setup)) for name in NETS)


def _run(name: str, setup: Setup) -> str:
    xp = setup.xp
    net, readout = NETS[name](I, H), xpbptt.Linear(H, 1)
    params = {"net": net.init(0, xp=xp), "readout": readout.init(1, xp=xp)}
    optimizer = xpbptt.adam(0.03)
    memory = optimizer.init(params)
    drawn = np.random.default_rng(0).standard_normal((STEPS, BATCH, I)).astype("float32")
    x = xp.asarray(drawn)
    target = xp.asarray(np.cumsum(drawn.sum(axis=2, keepdims=True), axis=0) / I)
    losses = []
    for _ in range(UPDATES):
        h, _, cache = net.forward(params["net"], x)
        y, kept = readout.forward(params["readout"], h)
        loss, dy = xpbptt.mean_squared_error(y, target)
        from_y = readout.backward(kept, dy)
        grads = {"net": net.backward(cache, from_y.x).params, "readout": from_y.params}
        params, memory = optimizer.update(grads, memory, params)
        losses.append(float(loss))
    said = f"the loss went from {losses[0]:.3f} to {losses[-1]:.3f} in {UPDATES} updates"
    if not losses[-1] <= SHARE * losses[0]:
        message = f"{said}, expected at most half of it"
        raise CheckError(message)
    return said
