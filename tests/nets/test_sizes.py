"""Nets whose layers have sizes of their own."""

import numpy as np
import pytest
from helpers import CELLS, cover, flatten

import xpbptt
from xpbptt.interop import torch as names
from xpbptt.testing import laws

OWN_LAWS = [name for name in laws.LAWS if name != "mutants"]


@cover(
    "law, name, sizes, both",
    OWN_LAWS,
    list(CELLS),
    [(5, 4), (2, 7, 3)],
    [False, True],
    strength=1,
)
def test_the_laws(xp, law, name, sizes, both):
    laws.LAWS[law](CELLS[name](3, sizes, bidirectional=both), xp=xp)


def test_dropout_between_layers_of_several_sizes(xp):
    laws.strategies(xpbptt.LSTM(3, (5, 4), dropout=0.3), xp=xp)


def test_shapes_and_parity_with_torchs_layers_one_by_one(torch):
    net = xpbptt.LSTM(3, (5, 4), bidirectional=True)
    params, x = net.init(0, dtype="float64"), np.random.default_rng(0).normal(size=(7, 2, 3))
    y, state, _ = net.forward(params, x)
    assert [pair[0].weight_ih.shape for pair in params] == [(20, 3), (16, 10)]
    assert [pair[1].c.shape for pair in state] == [(2, 5), (2, 4)]
    expected = torch.tensor(x)
    for k, (inputs, hidden) in enumerate([(3, 5), (10, 4)]):
        module = torch.nn.LSTM(inputs, hidden, bidirectional=True, dtype=torch.float64)
        own = names.to_state_dict(params[k : k + 1])
        module.load_state_dict({key: torch.tensor(each) for key, each in own.items()})
        expected, _ = module(expected)
    np.testing.assert_allclose(y, expected.detach().numpy(), atol=1e-12)
    bound = np.abs(np.concatenate([leaf.ravel() for leaf in flatten(params[1])])).max()
    assert 0.9 * 4**-0.5 < bound <= 4**-0.5


def test_a_stream_of_several_sizes():
    net = xpbptt.GRU(3, (40, 5, 17))
    params, x = net.init(0), np.ones((6, 2, 3), dtype=np.float32)
    stream = net.stream(params, batch=2)
    y = np.stack([np.array(stream(x_t)) for x_t in x])
    np.testing.assert_allclose(y, net.infer(params, x)[0], atol=1e-6)
    assert [entry.h.shape for entry in stream.state] == [(2, 40), (2, 5), (2, 17)]


def test_equal_sizes_are_one_and_the_net_shows_the_call_that_makes_it():
    assert xpbptt.LSTM(3, (5, 5)) == xpbptt.LSTM(3, 5, 2)
    assert xpbptt.LSTM(3, (5,)) == xpbptt.LSTM(3, 5)
    net = xpbptt.GRU(3, [np.int8(5), 4], 2, bidirectional=True)
    assert repr(net) == "GRU(3, (5, 4), bidirectional=True)"
    assert net == xpbptt.GRU(3, (5, 4), bidirectional=True) != xpbptt.GRU(3, (4, 5))
    assert hash(net) == hash(xpbptt.GRU(3, (5, 4), bidirectional=True))
    assert (net.sizes, net.output_size) == ((5, 4), 8)


def test_the_names_of_torch_go_both_ways():
    params = xpbptt.LSTM(3, (5, 4)).init(0)
    back = names.from_state_dict(names.to_state_dict(params))
    for a, b in zip(flatten(back), flatten(params), strict=True):
        np.testing.assert_array_equal(a, b)


@cover(
    "wrong, make",
    [
        (((5, 0),), ValueError, r"`hidden_size\[1\]` must be at least 1, got 0"),
        (((5, 2.0),), TypeError, r"`hidden_size\[1\]` must be an int, got 2.0"),
        (((5, 4), 3), ValueError, r"\(5, 4\) has 2 sizes, but `num_layers` is 3: give one size"),
        (((),), ValueError, r"`hidden_size` = \(\) has 0 sizes"),
        (({5, 4},), TypeError, "`hidden_size` must be an int, got"),
    ],
    [xpbptt.RNN, xpbptt.LSTM, xpbptt.GRU],
    strength=1,
)
def test_sizes_that_do_not_fit(wrong, make):
    sizes, error, text = wrong
    with pytest.raises(error, match=text):
        make(3, *sizes)
