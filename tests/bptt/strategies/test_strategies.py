"""Bounded memory: the gradients are those of keep-all, and the cost is what was said beforehand."""

import tracemalloc
from functools import cache
from math import comb

import numpy as np
import pytest
from helpers import cover

import xpbptt
from xpbptt import Binomial, Budget, KeepAll, KeepStates, Segments, Truncated
from xpbptt._arrays.tree import leaves
from xpbptt.bptt import recurrence
from xpbptt.cells import LSTM

T, B, I, H = 6, 4, 3, 5

EXACT = [KeepStates(), Segments(4), Binomial(2), Budget(10**9), Truncated(T)]


def run(case, mask, bptt):
    y, state, kept = case.net.forward(case.params, case.x, case.state, mask, bptt=bptt)
    return y, state, case.net.backward(kept, case.dy, case.dstate)


@pytest.mark.parametrize("bptt", EXACT, ids=repr)
def test_the_caller_may_reuse_the_initial_state(bptt):
    net = xpbptt.GRU(I, H)
    params, x = net.init(0), np.ones((T, B, I), dtype=np.float32)
    state = (net.infer(params, x)[1][0]._replace(h=np.ones((B, H), dtype=np.float32)),)
    y, _, kept = net.forward(params, x, state, bptt=bptt)
    first = net.backward(kept, y).params[0].weight_hh
    state[0].h[...] = 7
    np.testing.assert_array_equal(net.backward(kept, y).params[0].weight_hh, first)


@pytest.mark.parametrize("length", [1, 2, 4])
def test_truncation_cuts_the_gradient_between_chunks_and_leaves_outputs_alone(
    make_case, length, xp, tree_map, assert_close
):
    """As if each chunk were run with the state carried, but its gradient not."""
    case = make_case(xpbptt.LSTM(I, H))
    y, state, grads = run(case, None, Truncated(length))
    assert_close((y, state), run(case, None, KeepAll())[:2], 0)
    carried, chunks, total = case.state, [], None
    zeros = tree_map(xp.zeros_like, case.dstate)
    for start in range(0, T, length):
        part = slice(start, min(start + length, T))
        _, carried, kept = case.net.forward(case.params, case.x[part, ...], carried)
        last = start + length >= T
        chunk = case.net.backward(kept, case.dy[part, ...], case.dstate if last else zeros)
        chunks.append(chunk.x)
        total = chunk.params if total is None else tree_map(xp.add, total, chunk.params)
        if start == 0:
            assert_close(grads.state, chunk.state)
    assert_close(grads.x, xp.concat(chunks, axis=0))
    assert_close(grads.params, total)


def test_parameters_whose_gradients_are_one_array(make_case, assert_close):
    """As natural for the two biases; segments are added up, but none twice."""
    rnn = xpbptt.RNN(I, H).recurrence

    def accumulate(*arguments, xp):
        dparams, dx = rnn.accumulate(*arguments, xp=xp)
        return dparams._replace(bias_ih=dparams.bias_hh), dx

    case = make_case(xpbptt.Net(rnn._replace(accumulate=accumulate), I, H), 40)
    expected = run(case, None, KeepAll())
    for bptt in (KeepStates(), Segments(4), Binomial(2)):
        assert_close(run(case, None, bptt), expected)


@cache
def fewest(length, snapshots):
    """Count the extra steps of the best schedule by trying all of them."""
    if length <= 1:
        return 0
    if snapshots == 1:
        return length * (length - 1) // 2
    return min(
        m + fewest(m, snapshots) + fewest(length - m, snapshots - 1) for m in range(1, length)
    )


@pytest.mark.parametrize("snapshots", range(1, 8))
def test_binomial_takes_the_least_number_of_extra_steps(snapshots):
    for length in range(1, 60):
        repeats = 0
        while comb(snapshots + repeats, snapshots) < length:
            repeats += 1
        formula = repeats * length - comb(snapshots + repeats, snapshots + 1)
        extra = Binomial(snapshots).plan(length, lambda: 1.0).steps(length) - length
        assert extra == formula == fewest(length, snapshots)


@pytest.mark.parametrize("snapshots", [1, 2, 3, 5])
def test_binomial_never_holds_more_snapshots_than_it_may(snapshots):
    for length in (1, 2, 13, 40):
        plan = Binomial(snapshots).plan(length, lambda: 1.0)
        held, done = set(plan.snapshots), length
        for move in plan.moves():
            assert move.stop == done
            assert move.start == plan.tail or move.source in held
            held |= set(move.snapshots)
            assert len(held) <= snapshots
            held = {mark for mark in held if mark < move.start}
            done = move.start
        assert done == 0


@cover(
    ("bptt", "both"),
    [KeepAll(), KeepStates(), Segments(), Segments(7), Binomial(3), Truncated(4)],
    [False, True],
    strength=1,
)
def test_the_steps_are_counted_beforehand(bptt, both):
    count = 0
    lstm = recurrence(LSTM)

    def step(weights, u, state, *, xp):
        nonlocal count
        count += state.h.shape[0] == B  # and not residuals again, of all steps at once
        return lstm.step(weights, u, state, xp=xp)

    net = xpbptt.Net(lstm._replace(step=step), I, H, 2, bidirectional=both)
    cost = net.cost(20, B, bptt=bptt)
    params, x = net.init(0), np.ones((20, B, I), dtype=np.float32)
    net.infer(params, x)  # the first call tries a step on small arrays
    count = 0
    y, state, kept = net.forward(params, x, bptt=bptt)
    net.backward(kept, y, state)
    assert count == cost.steps


def test_segments_take_one_extra_forward_pass():
    assert xpbptt.GRU(I, H).cost(1000, B, bptt=Segments()).steps == 2000


BIG = {"steps": 400, "batch": 8}


def bytes_kept(net, bptt):
    """Measure what the cache holds on NumPy, with the outputs that share its memory."""
    params = net.init(0)
    x = np.ones((BIG["steps"], BIG["batch"], net.input_size), dtype=np.float32)
    net.forward(params, x[:2], bptt=bptt)  # what is made once for all is not the cache's
    tracemalloc.start()
    y, _, kept = net.forward(params, x, bptt=bptt)
    del y
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept.net == net
    return held


@cover(
    ("make", "layers", "both", "bptt"),
    [xpbptt.RNN, xpbptt.LSTM, xpbptt.GRU],
    [1, 2],
    [False, True],
    [KeepAll(), KeepStates(), Segments(), Segments(50), Binomial(5)],
)
def test_the_bytes_kept_are_those_said_beforehand(make, layers, both, bptt):
    net = make(32, 64, layers, bidirectional=both)
    said = net.cost(**BIG, bptt=bptt).bytes
    objects = 1500 * len(range(0, 400, 10)) * layers * (1 + both)  # Python's, for each snapshot
    assert said <= bytes_kept(net, bptt) <= 1.02 * said + objects


def most_bytes(net, bptt, *, masked, sizes=(200, 32), dtype="float32"):
    """Measure the peak of both passes on NumPy, beside inputs, output and gradients."""
    steps, batch = sizes
    random = np.random.default_rng(0)
    x = random.standard_normal((steps, batch, net.input_size)).astype(dtype)
    mask = random.random((steps, batch)) < 0.8 if masked else None
    params, seed = net.init(0, dtype=dtype), 1 if net.dropout else None
    for traced in (False, True):  # what is made once for all, as kernels, is not counted
        if traced:
            tracemalloc.start()
        y, _, kept = net.forward(params, x, None, mask, bptt=bptt, dropout_seed=seed)
        before, ahead = tracemalloc.get_traced_memory()
        shape = y.shape
        del y
        held, _ = tracemalloc.get_traced_memory()
        dy = np.ones(shape, dtype=dtype)
        tracemalloc.reset_peak()
        grads = net.backward(kept, dy)
        _, back = tracemalloc.get_traced_memory()
        del kept
    tracemalloc.stop()
    own = sum(a.nbytes for _, a in leaves((grads.params, grads.state))) + grads.x.nbytes
    return max(ahead - (before - held), back - dy.nbytes - own), net.cost(
        steps, batch, dtype, bptt=bptt, masked=masked
    )


@cover(
    ("make", "layers", "both", "masked", "bptt"),
    [xpbptt.RNN, xpbptt.LSTM, xpbptt.GRU],
    [1, 2],
    [False, True],
    [False, True],
    [KeepAll(), KeepStates(), Segments(), Binomial(5)],
)
def test_the_peak_is_that_said_beforehand(make, layers, both, masked, bptt):
    net = make(24, 32, layers, bidirectional=both)
    measured, said = most_bytes(net, bptt, masked=masked)
    objects = 2**19  # Python's own
    assert measured <= said.peak + objects
    assert said.peak <= 2 * measured + objects


def test_adding_up_half_precision_in_single_is_counted():
    net = xpbptt.GRU(24, 128)  # its parameters are most of it
    measured, said = most_bytes(net, Segments(10), masked=False, sizes=(40, 2), dtype="float16")
    assert measured <= said.peak <= 1.5 * measured


def test_dropout_and_masks_are_counted():
    net = xpbptt.LSTM(24, 32, 2, dropout=0.5)
    measured, said = most_bytes(net, KeepAll(), masked=True)
    assert measured <= said.peak <= 1.5 * measured
    bare = xpbptt.LSTM(24, 32, 2)
    between = 200 * 32 * 32 * 4
    assert net.cost(200, 32).bytes == bare.cost(200, 32).bytes + between
    assert bare.cost(200, 32, masked=True).bytes == bare.cost(200, 32).bytes + between


@cover(
    ("bptt", "case"),
    [KeepAll(), KeepStates(), Segments(), Binomial(5)],
    [
        (xpbptt.RNN(24, 32, 3, dropout=0.5), False, "float32"),
        (xpbptt.GRU(24, 32, 2, dropout=0.25, bidirectional=True), True, "float64"),
        (xpbptt.RNN(24, 16, 2, dropout=0.5), True, "float16"),
    ],
    strength=1,
)
def test_dropping_is_counted_on_the_way_forward_and_back(case, bptt):
    net, masked, dtype = case
    measured, said = most_bytes(net, bptt, masked=masked, dtype=dtype)
    objects = 2**17  # Python's own
    assert measured <= said.peak + objects
    assert said.peak <= 1.5 * measured + objects


@pytest.mark.parametrize(("make", "share"), [(xpbptt.LSTM, 2), (xpbptt.GRU, 1), (xpbptt.RNN, 1)])
def test_keep_states_keeps_the_states_only(make, share):
    cost = make(32, 64).cost(**BIG, bptt=KeepStates())
    assert cost.bytes == share * (BIG["steps"] + 1) * BIG["batch"] * 64 * 4


@pytest.mark.parametrize("masked", [False, True])
def test_segments_take_a_few_percent_of_the_memory(masked):
    net = xpbptt.LSTM(64, 64)
    everything, segments = (
        net.cost(1000, 8, bptt=b, masked=masked) for b in (KeepAll(), Segments())
    )
    assert segments.bytes < 0.06 * everything.bytes
    assert segments.peak < 0.06 * everything.peak


def test_a_long_sequence_trains_in_bounded_memory():
    """The bound is 64 MiB at T = 100 000, beyond what goes in and comes out."""
    net, steps = xpbptt.LSTM(4, 64), 5_000  # tracing every allocation takes its time
    params, x = net.init(0), np.ones((steps, 1, 4), dtype=np.float32)
    y, _, kept = net.forward(params, x[:200], bptt=Segments())  # compiles, once
    net.backward(kept, y)
    tracemalloc.start()
    y, _, kept = net.forward(params, x, bptt=Segments())
    grads = net.backward(kept, y)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most - y.nbytes - grads.x.nbytes < 64 * 2**20 * steps / 100_000
    assert np.all(np.isfinite(grads.params[0].weight_hh))


def test_a_budget_picks_the_fastest_that_fits_and_says_so(caplog):
    net = xpbptt.LSTM(32, 64, 2)
    peaks = {b: net.cost(**BIG, bptt=b).peak for b in (KeepAll(), KeepStates(), Segments())}
    for bptt, peak in peaks.items():
        fastest = next(b for b, p in peaks.items() if p <= peak)
        assert net.cost(**BIG, bptt=Budget(peak)).strategy == fastest
        assert fastest == bptt or bptt == KeepStates()
    tight = net.cost(**BIG, bptt=Budget(peaks[Segments()] - 1))
    assert isinstance(tight.strategy, Binomial)
    assert tight.peak < peaks[Segments()]
    with caplog.at_level("INFO", logger="xpbptt"):
        x = np.ones((BIG["steps"], BIG["batch"], 32), dtype=np.float32)
        net.forward(net.init(0), x, bptt=Budget(peaks[Segments()]))
    assert "the budget is met by Segments" in caplog.text


def test_a_budget_that_nothing_meets_is_refused_with_the_least_figure():
    net = xpbptt.LSTM(32, 64)
    strategies = (KeepAll(), KeepStates(), Segments(), *(Binomial(2**k) for k in range(9)))
    least = min(net.cost(**BIG, bptt=bptt).peak for bptt in strategies)
    message = f"`bptt` has a budget of {least - 1} bytes, but the least possible is {least}"
    with pytest.raises(ValueError, match=message):
        net.cost(**BIG, bptt=Budget(least - 1))
    assert net.cost(**BIG, bptt=Budget(least)).peak == least
    x = np.ones((BIG["steps"], BIG["batch"], 32), dtype=np.float32)
    with pytest.raises(ValueError, match=message):
        net.forward(net.init(0), x, bptt=Budget(least - 1))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("net", "steps", "batch"),
    [
        (xpbptt.RNN(1, 1), 5, 4),
        (xpbptt.GRU(32, 1), 30, 32),
        (xpbptt.LSTM(3, 1, 2, bidirectional=True), 10, 1),
        (xpbptt.LSTM(64, 1), 60, 1),
        (xpbptt.GRU(3, 1, 2), 30, 4),
        (xpbptt.LSTM(4, 8), 1, 1),
    ],
    ids=str,
)
def test_a_budget_is_met_by_the_best_of_all_numbers_of_snapshots(net, steps, batch, masked):
    def cost(bptt):
        return net.cost(steps, batch, bptt=bptt, masked=masked)

    every = [cost(bptt) for bptt in (KeepAll(), KeepStates(), Segments())]
    every += [cost(Binomial(s)) for s in range(1, steps + 1)]
    peaks = sorted({found.peak for found in every})
    for limit in (*peaks, *(peak + 1 for peak in peaks)):
        found = cost(Budget(limit))
        assert found.peak <= limit
        if isinstance(found.strategy, Binomial):
            assert found.steps == min(each.steps for each in every if each.peak <= limit)
    with pytest.raises(ValueError, match=f"the least possible is {peaks[0]}, with"):
        cost(Budget(peaks[0] - 1))


@pytest.mark.parametrize(
    "dtype", ["float64", np.float64, np.dtype("float64"), "torch.float64"], ids=str
)
def test_the_cost_of_any_librarys_dtype(dtype):
    net = xpbptt.GRU(I, H)
    assert net.cost(10, B, dtype).bytes == 2 * net.cost(10, B, "float32").bytes


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: Segments(0), ValueError, "`length` must be at least 1, got 0"),
        (lambda: Segments(2.0), TypeError, "`length` must be an int, got 2.0"),
        (lambda: Binomial(0), ValueError, "`snapshots` must be at least 1, got 0"),
        (lambda: Binomial(None), TypeError, "`snapshots` must be an int, got None"),
        (lambda: Truncated(0), ValueError, "`length` must be at least 1, got 0"),
        (lambda: Budget("1 GB"), TypeError, "`bytes` must be an int, got '1 GB'"),
    ],
)
def test_strategies_that_are_none(make, error, text):
    with pytest.raises(error, match=text):
        make()


@pytest.mark.parametrize("bptt", [None, "segments", Segments, 5])
def test_what_is_no_strategy(bptt):
    net = xpbptt.GRU(I, H)
    with pytest.raises(TypeError, match="`bptt` must be a strategy, as KeepAll"):
        net.forward(net.init(0), np.ones((T, B, I), dtype=np.float32), bptt=bptt)
    with pytest.raises(TypeError, match="`bptt` must be a strategy"):
        net.cost(T, B, bptt=bptt)


@pytest.mark.parametrize("dtype", ["single", "f4", "banana64", "int8", np.dtype(">f4")], ids=str)
def test_a_dtype_without_a_size(dtype):
    with pytest.raises(TypeError, match="`dtype` must be a floating-point dtype or its name"):
        xpbptt.GRU(I, H).cost(T, B, dtype)
