"""On a GPU: every engine against the cell as written, a long soak of the barrier, and µs a step.

A kernel in which blocks wait for each other could stand still: the soak is a process of its own,
which is stopped when it takes too long.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import Any

import xpbptt
from xpbptt._arrays.tree import leaves
from xpbptt.bptt.engines.engine import ENGINE
from xpbptt.commands.selftest.check import Check, CheckError, NotApplicable, Setup, not_applicable
from xpbptt.commands.selftest.nets import COMPILED, KINKED, NETS
from xpbptt.testing.laws import LAWS

LOOPS = ("sequence", "stepwise", "graph")
QUICK = "LSTM"  # the only net of a quick run
SIZES = ((5, 4), (203, 5), (64, 37))  # H and B: one block, many blocks, many sequences
SOAK, PASS, LIMIT = 100_000, 1000, 120  # steps, steps of a pass, seconds
SOAKED = (16, 256)  # B and H
TABLE = ((1, 64), (16, 128), (16, 256), (64, 256), (16, 512), (1, 1024))  # B and H
TIMED, ROUNDS = 200, 5  # steps of a pass, passes

CHILD = "from xpbptt.commands.selftest.engines import soak; soak({steps})"


def checks(setup: Setup) -> Iterator[Check]:
    """Yield a check for each engine and net, the soak, and the table of times."""
    if setup.backend != "cupy":
        yield not_applicable("engines on a GPU", f"{setup.backend} has none of its own")
        return
    for name in [QUICK] if setup.quick else COMPILED:
        for loop in LOOPS:
            yield Check(f"{loop} as written, {name}", partial(_agree, loop, name, setup))
    yield Check("a soak of the barrier", partial(_soaked, setup))
    yield Check("us a step, LSTM float32", partial(_table, setup))


@contextmanager
def chosen(loop: str) -> Iterator[None]:
    """Have the passes take an engine."""
    before = os.environ.get(ENGINE)
    os.environ[ENGINE] = loop
    try:
        yield
    finally:
        del os.environ[ENGINE]
        if before is not None:
            os.environ[ENGINE] = before


def _agree(loop: str, name: str, setup: Setup) -> str:
    taken, dtypes = set(), ["float32"]
    if loop == "sequence" and name != KINKED:
        dtypes.append("float16")  # another product, by the tensor cores
    for hidden, batch in SIZES[: 1 if setup.quick else None]:
        one, two = (NETS[name](3, hidden, bidirectional=both) for both in (False, True))
        with chosen(loop):
            for net in (one, two):
                for dtype in dtypes:
                    LAWS["engines"](net, xp=setup.xp, dtype=dtype, batch=batch)
            taken.add(f"H = {hidden}: {_engine(one, batch, setup)}")
    return ", ".join(sorted(taken))


def _engine(net: xpbptt.Net, batch: int, setup: Setup) -> str:
    xp = setup.xp
    params, x = net.init(0, xp=xp), xp.zeros((2, batch, net.input_size), dtype=xp.float32)
    name, reason = net.engine(params, x).forward
    return f"{name} ({reason})" if reason else str(name)


def soak(steps: int) -> None:
    """Run forward and back again and again; raise where the bits change, or nothing is compiled."""
    xp = import_module("array_api_compat.cupy")
    for both in (False, True):  # both directions are one launch
        _soak(steps // 2, xp, both=both)


def _soak(steps: int, xp: Any, *, both: bool) -> None:
    batch, hidden = SOAKED
    net = xpbptt.LSTM(8, hidden, bidirectional=both)
    params = net.init(0, xp=xp)
    x = xp.reshape(xp.linspace(-1, 1, PASS * batch * 8, dtype=xp.float32), (PASS, batch, 8))
    found: Any = None
    for _ in range(max(2, steps // (2 * PASS))):  # forward and back
        y, state, cache = net.forward(params, x)
        grads = net.backward(cache, y, state)
        now = [leaf for _, leaf in leaves((y, grads))]
        found = found or now
        for first, again in zip(found, now, strict=True):
            if not bool(xp.all(first == again)):
                message = "the same pass gave other bits"
                raise CheckError(message)


def in_a_child(steps: int) -> None:
    """Run the soak in a process, and stop it when it takes too long."""
    command = [sys.executable, "-c", CHILD.format(steps=steps)]
    try:
        subprocess.run(command, check=True, timeout=LIMIT, capture_output=True, text=True)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        message = (
            f"{steps} steps were not done after {LIMIT} s, so a kernel stands still; until this is "
            f"put right, set {ENGINE}=stepwise, and please report the lines of this check"
        )
        raise CheckError(message) from error
    except subprocess.CalledProcessError as error:
        raise CheckError(error.stderr.strip().rpartition("\n")[2]) from error


def _soaked(setup: Setup) -> str:
    steps = SOAK // 10 if setup.quick else SOAK
    in_a_child(steps)
    batch, hidden = SOAKED
    said = f"{steps} steps of an LSTM, B = {batch}, H = {hidden}"
    return f"{said}, half in both directions: the same bits each time"


def _table(setup: Setup) -> str:
    rows = [_times(batch, hidden, setup) for batch, hidden in TABLE[: 2 if setup.quick else None]]
    return "\n".join(["forward and back, by events", *rows])


def _times(batch: int, hidden: int, setup: Setup) -> str:
    xp, net = setup.xp, xpbptt.LSTM(8, hidden)
    params, x = net.init(0, xp=xp), xp.zeros((TIMED, batch, 8), dtype=xp.float32)
    said = []
    for loop in LOOPS:
        with chosen(loop):
            name = net.engine(params, x).forward.name
            y, _, cache = net.forward(params, x)
            net.backward(cache, y)  # builds what is built once
            forward = _microseconds(lambda: net.forward(params, x))
            back = _microseconds(lambda kept=cache, dy=y: net.backward(kept, dy))
        said.append(f"{name} {forward:.2f} + {back:.2f}")
    return f"B = {batch}, H = {hidden}: {'; '.join(said)}"


def _microseconds(function: Any) -> float:
    """Return the least time of a pass, by the step."""
    cuda, least = import_module("cupy").cuda, float("inf")
    for _ in range(ROUNDS):
        start, stop = cuda.Event(), cuda.Event()
        start.record()
        function()
        stop.record()
        stop.synchronize()
        try:
            least = min(least, cuda.get_elapsed_time(start, stop))
        except NotImplementedError as error:
            raise NotApplicable(str(error)) from error
    return least * 1000 / TIMED
