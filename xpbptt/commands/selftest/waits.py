"""Nothing in training or inference waits for the host, as far as CuPy's own watch sees it."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

import xpbptt
from xpbptt.commands.selftest.check import Check, CheckError, NotApplicable, Setup, not_applicable
from xpbptt.commands.selftest.nets import NETS, H, I, nets
from xpbptt.testing.laws.sample import BATCH, STEPS, draw

UNSEEN = "not seen by CuPy's watch: waits for a stream or an event, and copies to the device"
STRATEGIES = (xpbptt.KeepAll(), xpbptt.KeepStates(), xpbptt.Segments(2))


def checks(setup: Setup) -> Iterator[Check]:
    """Yield a check of the watch itself, one for each net, and one for what goes with them."""
    if setup.backend != "cupy":
        reason = f"on {setup.backend} it cannot be seen whether the host waits"
        yield not_applicable("no wait for the host", reason)
        return
    yield Check("a read on the host is seen", partial(_watch, setup))
    for name in NETS:
        yield Check(f"no wait, {name}", partial(_net, name, setup))
    yield Check("no wait, readout, losses, optimisers", partial(_rest, setup))


@contextmanager
def no_waits() -> Iterator[None]:
    """Let every wait that is seen raise, what CuPy sees as ``cupyx.DeviceSynchronized``.

    Raises NotApplicable if this version of CuPy has no such watch.
    """
    cupyx = import_module("cupyx")
    if not hasattr(cupyx, "allow_synchronize"):
        message = "this version of CuPy has no cupyx.allow_synchronize"
        raise NotApplicable(message)
    with warnings.catch_warnings():
        # CuPy warns that it does not see every wait: not one for a stream or an event.
        warnings.filterwarnings("ignore", message="cupyx.allow_synchronize")
        with cupyx.allow_synchronize(False):  # noqa: FBT003 - CuPy's
            yield


def _watch(setup: Setup) -> str:
    number = setup.xp.ones(1)[0]
    raised: type[Exception] | None = None
    with no_waits():
        try:
            float(number)
        except Exception as error:  # noqa: BLE001 - which one it is belongs to CuPy
            raised = type(error)
    if raised is None:
        message = "CuPy's watch let a float() of an array pass, so it would let all others"
        raise CheckError(message)
    return f"{raised.__name__} is raised by float() of an array\n{UNSEEN}"


def _net(name: str, setup: Setup) -> str:
    drawn = [
        draw(net, xp=setup.xp, masked=masked, dtype="float32")
        for net in nets(name, setup)
        for masked in (False, True)
    ]
    with no_waits():
        for of in drawn:
            for bptt in STRATEGIES:
                of.train(bptt)
            of.infer()
            of._replace(state=None).train(trace=True, clip_step=0.1)
        drawn[0].stream()
    passes = len(STRATEGIES) * len(drawn)
    return f"{passes} times forward and backward; infer, step, trace and clip_step"


def _rest(setup: Setup) -> str:
    xp = setup.xp
    random = np.random.default_rng(3)

    def array(*shape: int) -> Any:
        return xp.asarray(np.asarray(random.standard_normal(shape), dtype="float32"))

    readout = xpbptt.Linear(H, I)
    params, h, target = readout.init(0, xp=xp), array(STEPS, BATCH, H), array(STEPS, BATCH, I)
    labels = xp.asarray(random.integers(I, size=(STEPS, BATCH)))
    mask = xp.asarray(random.random((STEPS, BATCH)) < 0.5)  # noqa: PLR2004 - half of them
    optimizers: list[xpbptt.Optimizer] = [xpbptt.sgd(0.1), xpbptt.sgd(0.1, 0.9), xpbptt.adam(0.1)]

    def update(optimizer: xpbptt.Optimizer) -> Callable[[], object]:
        state = optimizer.init(params)
        return lambda: optimizer.update(params, state, params)

    updates = [update(optimizer) for optimizer in optimizers]
    with no_waits():
        y, kept = readout.forward(params, h)
        readout.backward(kept, target)
        for one in (None, mask):
            xpbptt.mean_squared_error(y, target, one)
            xpbptt.softmax_cross_entropy(y, labels, one)
        for run in updates:
            run()
        xpbptt.clip_by_global_norm(params, 0.1)
    return "Linear, both losses, sgd, momentum, adam, clip_by_global_norm"
