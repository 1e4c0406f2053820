"""The peak that `net.cost` says is what a pass takes on CuPy: the memory of the kernels, too."""

import cupy
import pytest
from helpers import cover

import xpbptt
from xpbptt._arrays.tree import leaves
from xpbptt.bptt.engines import engine
from xpbptt.kernels.cuda import sequence

SMALL = 2**16  # counters, and what is rounded up to 512 bytes
I = 8


@pytest.fixture
def many_blocks(monkeypatch, forget):
    """Have a group of as many blocks as there are, which gives as many parts of dh."""
    real = sequence.plans

    def chosen(device, sizes):
        found = real(device, sizes)
        most = max(plan.blocks for plan in found)
        return [plan for plan in found if plan.blocks == most]

    monkeypatch.setattr(sequence, "plans", chosen)
    monkeypatch.setattr(sequence, "refusal", lambda *_: "")
    forget()
    yield
    forget()


def measured(net, steps, batch, bptt, *, masked=False, dtype="float32"):
    """Return the most bytes of both passes, beside the arrays that are given and returned."""
    params, x = net.init(0, xp=cupy, dtype=dtype), cupy.zeros((steps, batch, I), dtype=dtype)
    dy = cupy.ones((steps, batch, net.directions * net.hidden_size), dtype=dtype)
    mask = cupy.ones((steps, batch), dtype=bool) if masked else None
    pool, peak = cupy.cuda.MemoryPool(), []

    def allocate(size):
        memory = pool.malloc(size)
        peak.append(pool.used_bytes())
        return memory

    with cupy.cuda.using_allocator(allocate):
        y, state, cache = net.forward(params, x, None, mask, bptt=bptt)
        ahead, returned = max(peak), y.nbytes
        del y, state
        peak.clear()
        grads = net.backward(cache, dy)
    back = max(peak) - sum(leaf.nbytes for _, leaf in leaves(grads))
    return max(ahead - returned, back)


def scratch(net, batch, dtype="float32"):
    """Return what the peak grows by with the parts of dh, beside what a pass forward takes more."""
    plain = net.cost(100, batch, dtype)
    found = net.cost(100, batch, dtype, xp=cupy)
    return found.peak - plain.peak


@cover(
    ("make", "both", "masked", "layers", "bptt"),
    [xpbptt.RNN, xpbptt.LSTM, xpbptt.GRU],
    [False, True],
    [False, True],
    [1, 2],
    [xpbptt.KeepAll(), xpbptt.KeepStates(), xpbptt.Segments(10)],
)
def test_the_peak_is_that_said_beforehand(make, both, masked, layers, bptt):
    net, steps, batch = make(I, 16, layers, bidirectional=both), 60, 24
    said = net.cost(steps, batch, "float32", bptt=bptt, masked=masked, xp=cupy).peak
    found = measured(net, steps, batch, bptt, masked=masked)
    assert found <= said + SMALL
    assert said <= 2 * found + SMALL


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.usefixtures("many_blocks")
def test_the_parts_of_a_gradient_are_counted(dtype, both):
    """With few steps and many blocks they are most of what a pass back takes."""
    net, steps, batch = xpbptt.LSTM(I, 30, bidirectional=both), 3, 12
    said = net.cost(steps, batch, dtype, xp=cupy).peak
    found = measured(net, steps, batch, xpbptt.KeepAll(), dtype=dtype)
    parts = 2 * 30 * batch * 30 * (8 if dtype == "float64" else 4)  # a unit a block
    assert scratch(net, batch, dtype) >= 0.8 * net.directions * parts
    assert found > parts
    assert found <= said + SMALL
    assert said <= 1.5 * found + SMALL


def test_what_goes_step_by_step_has_none(monkeypatch):
    net = xpbptt.LSTM(I, 30, bidirectional=True)
    monkeypatch.setenv(engine.ENGINE, "stepwise")
    assert scratch(net, 40) == 0
    monkeypatch.setenv(engine.ENGINE, "eager")
    assert scratch(net, 40) == 0
    monkeypatch.delenv(engine.ENGINE)
    recurrence = xpbptt.GRU(I, 30, reset_after=False)
    assert recurrence.cost(9, 4, xp=cupy) == recurrence.cost(9, 4)


@pytest.mark.usefixtures("many_blocks")
def test_a_budget_counts_them():
    net, steps, batch = xpbptt.LSTM(I, 12), 9, 8
    everything = net.cost(steps, batch, xp=cupy).peak
    params, x = net.init(0, xp=cupy), cupy.zeros((steps, batch, I), dtype="float32")
    picked = []
    for bytes_ in (everything, everything - 1):
        budget = xpbptt.Budget(bytes_)
        picked.append(net.cost(steps, batch, bptt=budget, xp=cupy).strategy)
        assert net.cost(steps, batch, bptt=budget).strategy == xpbptt.KeepAll()
        _, _, cache = net.forward(params, x, bptt=budget)
        residuals = cache.layers[0].segment.residuals
        assert (residuals is None) == (picked[-1] == xpbptt.KeepStates())
    assert picked[0] == xpbptt.KeepAll()
    assert picked[1] != xpbptt.KeepAll()
