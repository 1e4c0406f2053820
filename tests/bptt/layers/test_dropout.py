"""Dropout between layers: from an explicit seed, alike on every library, exact in the backward."""

import pickle
import warnings

import numpy as np
import pytest
from helpers import cover, host

import xpbptt
from xpbptt.bptt.layers.dropout import dropped
from xpbptt.testing import check_gradients


@pytest.fixture(params=[False, True], ids=["forward", "both"])
def net(request):
    return xpbptt.LSTM(3, 5, 3, bidirectional=request.param, dropout=0.4)


def test_gradients(net, make_case):
    case = make_case(net)
    assert check_gradients(net, case.params, case.x, case.state, dropout_seed=1).error < 1e-12


@pytest.mark.parametrize("bptt", [xpbptt.KeepStates(), xpbptt.Segments(2), xpbptt.Binomial(2)])
def test_with_a_mask_and_every_strategy(net, make_case, xp, bptt, assert_close):
    case = make_case(net)
    mask = xp.asarray(np.random.default_rng(0).random((6, 4)) > 0.3)
    results = []
    for strategy in (xpbptt.KeepAll(), bptt):
        y, state, cache = net.forward(
            case.params, case.x, case.state, mask, bptt=strategy, dropout_seed=5
        )
        results.append((y, state, net.backward(cache, case.dy, case.dstate)))
    assert_close(*results)


def test_the_seed_decides_and_nothing_else(net, make_case, xp, assert_close):
    case = make_case(net)
    y = {}
    for seed in (1, 2):
        y[seed] = net.forward(case.params, case.x, dropout_seed=seed)[0]
        again = net.forward(case.params, case.x, dropout_seed=seed)[0]
        assert_close(again, y[seed], 0)
    assert bool(xp.any(y[1] != y[2]))
    generator = np.random.default_rng(1)
    first = net.forward(case.params, case.x, dropout_seed=generator)[0]
    assert_close(first, y[1], 0)
    second = net.forward(case.params, case.x, dropout_seed=generator)[0]
    assert bool(xp.any(second != first))


def test_the_same_elements_are_dropped_on_every_library(xp):
    x = xp.ones((7, 3, 11), dtype=xp.float64)
    ours = host(dropped(x, 0.3, 12345, xp=xp))
    np.testing.assert_array_equal(ours, dropped(np.ones((7, 3, 11)), 0.3, 12345, xp=np))


def test_infer_step_and_a_single_layer_drop_nothing(make_case, assert_close):
    case = make_case(xpbptt.GRU(3, 5, 2, dropout=0.5))
    plain = xpbptt.GRU(3, 5, 2)
    assert_close(case.net.infer(case.params, case.x), plain.infer(case.params, case.x), 0)
    x_t = case.x[0, ...]
    assert_close(case.net.step(case.params, x_t), plain.step(case.params, x_t), 0)
    with pytest.warns(UserWarning, match="dropout"):
        one = make_case(xpbptt.GRU(3, 5, dropout=0.5))
    expected = xpbptt.GRU(3, 5).infer(one.params, one.x)
    assert_close(one.net.forward(one.params, one.x)[:2], expected, 0)


@pytest.mark.parametrize(
    ("make", "net"),
    [
        (lambda: xpbptt.RNN(3, 5, dropout=0.5), r"RNN\(3, 5, dropout=0.5\)"),
        (lambda: xpbptt.LSTM(3, 5, dropout=0.5), r"LSTM\(3, 5, dropout=0.5\)"),
        (lambda: xpbptt.GRU(3, 5, dropout=0.5), r"GRU\(3, 5, dropout=0.5\)"),
        (lambda: xpbptt.Net(xpbptt.cells.GRU, 3, 5, dropout=0.5), r"GRU\(3, 5, dropout=0.5\)"),
    ],
)
def test_dropout_with_nothing_to_drop_warns_the_caller(make, net):
    text = rf"`dropout` = 0.5 does nothing in {net}.* between layers.*`num_layers` of at least 2"
    with pytest.warns(UserWarning, match=text) as caught:
        make()
    assert [warning.filename for warning in caught] == [__file__]


def test_dropout_with_two_layers_and_none_with_one_do_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xpbptt.GRU(3, 5, 2, dropout=0.5)
        xpbptt.GRU(3, 5, dropout=0.0)
        pickle.loads(pickle.dumps(xpbptt.GRU(3, 5)))


def test_the_share_that_is_dropped_and_the_mean_that_stays():
    x = np.ones((100, 50, 40))
    for rate in (0.1, 0.5, 0.9):
        y = dropped(x, rate, 3, xp=np)
        assert abs((y == 0).mean() - rate) < 0.01
        assert abs(y.mean() - 1) < 0.02
        assert set(np.unique(y)) == {0, 1 / (1 - rate)}


def test_neighbours_and_keys_are_independent():
    kept = np.stack([dropped(np.ones(100_000), 0.5, key, xp=np) > 0 for key in (0, 1, 2, 2**30)])
    for a in range(len(kept)):
        assert abs(np.corrcoef(kept[a][1:], kept[a][:-1])[0, 1]) < 0.02
        for b in range(a):
            assert abs(np.corrcoef(kept[a], kept[b])[0, 1]) < 0.02


@cover(
    ("wrong", "make"),
    [
        (1.0, ValueError, "`dropout` must be from 0 to below 1, got 1.0"),
        (-0.1, ValueError, "`dropout` must be from 0 to below 1, got -0.1"),
        ("0.5", TypeError, "`dropout` must be a number, got '0.5'"),
        (True, TypeError, "`dropout` must be a number, got True"),
    ],
    [xpbptt.RNN, xpbptt.LSTM, xpbptt.GRU],
    strength=1,
)
def test_a_rate_that_is_none(wrong, make):
    rate, error, text = wrong
    with pytest.raises(error, match=text):
        make(3, 5, 2, dropout=rate)


def test_a_seed_is_needed(net, make_case):
    case = make_case(net)
    with pytest.raises(ValueError, match=r"`dropout_seed` is needed by LSTM\(3, 5.*dropout=0.4\)"):
        net.forward(case.params, case.x)
    with pytest.raises(TypeError, match="`dropout_seed` must be an int of at least 0 or a"):
        net.forward(case.params, case.x, dropout_seed="a")
