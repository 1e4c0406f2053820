"""Gradients of the parameters for each sequence: those of each sequence run alone."""

import numpy as np
import pytest
from helpers import CELLS, cover, flatten, host, map_arrays

import xpbptt
from xpbptt.testing.laws.sample import as_net

T, B, I, H = 7, 4, 3, 5
PLANS = [xpbptt.KeepAll(), xpbptt.KeepStates(), xpbptt.Segments(3), xpbptt.Binomial(2)]


@cover("name, layers, both, masked, bptt", list(CELLS), [1, 2], [False, True], [False, True], PLANS)
def test_they_are_those_of_each_sequence_alone(xp, make_case, name, layers, both, masked, bptt):
    net = CELLS[name](I, H, layers, bidirectional=both)
    case = make_case(net, T, B)
    mask = xp.asarray(np.random.default_rng(0).random((T, B)) < 0.7) if masked else None
    _, _, cache = net.forward(case.params, case.x, case.state, mask, bptt=bptt)
    found = net.backward(cache, case.dy, case.dstate, per_sample=True)
    summed = net.backward(cache, case.dy, case.dstate)
    for a, b in zip(flatten(found)[len(flatten(found.params)) :], flatten(summed[1:]), strict=True):
        np.testing.assert_allclose(host(a), host(b), atol=1e-12)
    for b in range(B):
        row = lambda a: a[b : b + 1, ...]  # noqa: B023, E731
        pick = lambda a: None if a is None else a[:, b : b + 1, ...]  # noqa: B023, E731
        state, dstate = map_arrays(row, case.state), map_arrays(row, case.dstate)
        _, _, one = net.forward(case.params, pick(case.x), state, pick(mask))
        alone = net.backward(one, pick(case.dy), dstate)
        for mine, theirs in zip(flatten(found.params), flatten(alone.params), strict=True):
            assert mine.shape == (B, *theirs.shape)
            np.testing.assert_allclose(host(mine[b, ...]), host(theirs), atol=1e-12)


def test_no_steps_and_no_sequences(make_case):
    net = xpbptt.LSTM(I, H, 2, bidirectional=True)
    for steps, batch in ((0, 3), (5, 0), (0, 0)):
        case = make_case(net, steps, batch)
        _, _, cache = net.forward(case.params, case.x)
        grads = net.backward(cache, case.dy, per_sample=True)
        for mine, of in zip(flatten(grads.params), flatten(case.params), strict=True):
            assert mine.shape == (batch, *of.shape)
            assert not host(mine).any()


def test_a_recurrence_whose_sums_are_of_all_sequences(make_case):
    """One sequence after the other, without a pass for each."""
    net = xpbptt.LSTM(I, H)
    whole = net.recurrence
    own = as_net(xpbptt.Net(whole._replace(accumulate_each=None), I, H))
    case = make_case(net, T, B)
    results = []
    for each in (net, own):
        _, _, cache = each.forward(case.params, case.x, case.state)
        results.append(each.backward(cache, case.dy, case.dstate, per_sample=True))
    for a, b in zip(*map(flatten, results), strict=True):
        np.testing.assert_allclose(host(a), host(b), atol=1e-12)


def test_it_is_true_or_false(make_case):
    case = make_case(xpbptt.GRU(I, H), T, B)
    _, _, cache = case.net.forward(case.params, case.x)
    with pytest.raises(TypeError, match="`per_sample` must be True or False, got 1"):
        case.net.backward(cache, case.dy, per_sample=1)
