"""How the blocks of a group wait for each other: in every order, and with planted faults."""

import re
from collections.abc import Callable
from typing import NamedTuple

import cupy
import numpy as np
import pytest

import xpbptt
from cupy_on_cpu import ORDERS, Hang, order
from xpbptt.kernels import programs
from xpbptt.kernels.cuda import group, sequence
from xpbptt.kernels.cuda.plan import Device
from xpbptt.kernels.target import Call, HandBack, Kernel

T, B, H, BLOCKS, GROUPS = 6, 5, 20, 3, 2  # groups of 3 and 2 sequences, blocks of 7, 7 and 6 units
CELL = xpbptt.LSTM(1, 1).cell
DEVICE = Device(2 * BLOCKS * GROUPS, 232448, (9, 0), 1.5, cooperative=True)
SEEDS = (1, 2)
# Fair orders hide most faults in how blocks wait, greedy ones all of them; that a block arrives
# before all its threads have written shows only where some of them starve.
WAYS = [("greedy", 1), ("greedy-reversed", 1), *(("starved", seed) for seed in range(12))]


@pytest.fixture(autouse=True)
def plans(monkeypatch):
    """Groups of three blocks that multiply two sequences at once, so that they go by two pieces."""
    real = sequence.plans

    def chosen(device, sizes):
        found = real(device._replace(processors=BLOCKS * GROUPS), sizes)
        return [p for p in found if p.blocks == BLOCKS and p.tile.batch == 2]

    monkeypatch.setattr(sequence, "plans", chosen)
    monkeypatch.setattr(sequence, "device", lambda _: DEVICE)


@pytest.fixture(scope="module", params=["float32", "float16"])
def arrays(request):
    """Buffers for a pass: made once, and written again by every run.

    What blocks do between themselves is the same for all dtypes; the products are of two kinds.
    """
    random = np.random.default_rng(0)
    draw = lambda *shape: cupy.asarray(random.standard_normal(shape).astype(request.param))  # noqa: E731
    params = xpbptt.LSTM(4, H).init(0, xp=cupy, dtype=request.param)[0]
    return {"params": params, "x": draw(T, B, 4), "dy": draw(T, B, H), "first": draw(2, B, H)}


def launch(run, given):
    """Launch one direction, or two at once."""
    if len(given) == 1:
        run(*given[0])
    else:
        assert sequence.pair(*(Call(run, each) for each in given))


def forward(kernel, arrays, directions=1):
    """Return the buffers of each direction."""
    buffers = [buffers_forward(arrays, k) for k in range(directions)]
    params, x = arrays["params"], arrays["x"]
    given = [(kernel, x, params, params.weight_hh, each) for each in buffers]
    launch(sequence.forward, given)
    return buffers


def buffers_forward(arrays, k):
    params, made = arrays["params"], programs.forward(CELL)
    dtype = arrays["x"].dtype
    buffers = {each.name: cupy.full((T + 1, B, H), cupy.nan, dtype) for each in made.states}
    buffers |= {each.name: cupy.full((T, B, H), cupy.nan, dtype) for each in made.residuals}
    buffers |= {"bias_ih": params.bias_ih, "bias_hh": params.bias_hh}
    for buffer, first in zip(made.states, arrays["first"], strict=True):
        buffers[buffer.name][0] = first + k
    return buffers


def backward(kernel, arrays, kept, directions=1):
    """Return what each direction makes."""
    buffers = [buffers_back(arrays, kept, k) for k in range(directions)]
    given = [(kernel, arrays["params"], each, HandBack(0, None, None)) for each in buffers]
    launch(sequence.backward, given)
    names = ["du", *(each.name for each in programs.backward(CELL).carried)]
    return [{name: each[name] for name in names} for each in buffers]


def buffers_back(arrays, kept, k):
    made = programs.backward(CELL)
    buffers = kept | {"dy": arrays["dy"]}
    for each in made.records:
        buffers[each.name] = cupy.full((T, B, each.blocks * H), cupy.nan, arrays["x"].dtype)
    for each in made.carried:
        buffers[each.name] = arrays["first"][0] + k
    return buffers


def kernel(kind, arrays):
    task, dtype = programs.task(CELL, kind), str(arrays["x"].dtype)
    return Kernel(sequence.Sequence(task, dtype), task, dtype)


def run(kind, made, arrays, kept, directions=1):
    """Return the bytes of what a pass makes; `kept` is of an undisturbed pass forward."""
    if kind == "record":
        found = forward(made, arrays, directions)
    else:
        found = backward(made, arrays, kept, directions)
    return [cupy.asnumpy(part).tobytes() for each in found for part in each.values()]


@pytest.fixture(scope="module")
def kept(arrays):
    with pytest.MonkeyPatch.context() as patch:
        plans.__wrapped__(patch)
        return forward(kernel("record", arrays), arrays)[0]


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("kind", ["record", "back"])
def test_the_same_bytes_in_every_order(kind, directions, arrays, kept):
    made = kernel(kind, arrays)
    expected = run(kind, made, arrays, kept, directions)
    assert np.isfinite(np.frombuffer(expected[0], arrays["x"].dtype)).all()
    for name in ORDERS:
        for seed in SEEDS:
            with order(name, seed):
                assert run(kind, made, arrays, kept, directions) == expected, name


class Fault(NamedTuple):
    kind: str
    change: Callable[[str], str]


def without(pattern):
    """Leave out what matches, which has to be there once."""
    return instead(pattern, "")


def instead(pattern, text):
    def change(source):
        changed, count = re.subn(pattern, text, source)
        assert count == 1, f"{pattern} is there {count} times"
        return changed

    return change


SYNC = r"__syncthreads\(\);"
FAULTS = {
    "forward: nobody waits": Fault("record", without(r"if \(threadIdx.x == 0\) meet\(.*?\);")),
    "forward: waits for the step before": Fault("record", instead(r"P \* t\)", "P * (t - 1))")),
    "forward: nobody arrives": Fault(
        "record", without(r"if \(P > 1 && threadIdx.x == 0\) arrive.*")
    ),
    "forward: arrives before the others have written": Fault(
        "record", instead(rf"{SYNC}(\s+if \(P > 1 && threadIdx.x == 0\) arrive)", r"\1")
    ),
    "forward: only the first thread waits": Fault(
        "record", instead(rf"(meet\(count.*\);)\s+{SYNC}", r"\1")
    ),
    "forward: multiplies before all is read": Fault(
        "record", instead(rf"{SYNC}(\s+{{\s+float sums)", r"\1")
    ),
    "forward: reads sums before all are there": Fault(
        "record", instead(rf"{SYNC}(\s+if \(mine\) {{)", r"\1")
    ),
    "forward: one counter for all groups": Fault("record", instead(r" \+ group\) \* 32", ") * 32")),
    "back: nobody waits": Fault("back", without(r"if \(threadIdx.x == 0\) meet\(.*?\);")),
    "back: waits for the step before": Fault(
        "back", instead(r"P \* \(T - 1 - t\)", "P * (T - 2 - t)")
    ),
    "back: nobody arrives": Fault(
        "back", without(r"if \(P > 1 && threadIdx.x == 0 && t >= 0\) arrive.*")
    ),
    "back: arrives before the others have written": Fault(
        "back", instead(rf"{SYNC}(\s+if \(P > 1 && threadIdx.x == 0 && t >= 0\) arrive)", r"\1")
    ),
    "back: only the first thread waits": Fault(
        "back", instead(rf"(meet\(count.*\);)\s+{SYNC}", r"\1")
    ),
    "back: one buffer for the parts": Fault("back", instead(r"\(t & 1\) \* all", "(0 & t) * all")),
    "back: multiplies before all is written": Fault(
        "back", instead(rf"{SYNC}(\s+{{\s+float sums)", r"\1")
    ),
    "back: reads sums before all are there": Fault(
        "back",
        instead(
            rf"{SYNC}(\s+#pragma unroll\s+for \(int s = 0; s < 2; \+\+s\)\s+if \(c \+ s)", r"\1"
        ),
    ),
}


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_in_how_threads_wait_is_caught(name, directions, arrays, kept, monkeypatch):
    """In one of the orders at least; a kernel that stands still is a `Hang`."""
    kind, change = FAULTS[name]
    expected = run(kind, kernel(kind, arrays), arrays, kept, directions)
    real = group.source
    monkeypatch.setattr(group, "source", lambda *given: change(real(*given)))
    made = kernel(kind, arrays)

    def caught(way, seed):
        try:
            with order(way, seed):
                return run(kind, made, arrays, kept, directions) != expected
        except Hang:
            return True

    assert any(caught(*each) for each in WAYS)


def test_counters_that_do_not_start_at_zero_are_caught(arrays, monkeypatch):
    monkeypatch.setattr(cupy, "zeros", lambda shape, dtype: cupy.full(shape, 2**31, dtype=dtype))
    with pytest.raises(Hang, match="sequence_record hangs"):
        forward(kernel("record", arrays), arrays)
