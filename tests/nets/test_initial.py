"""Initial parameters by other rules than PyTorch's."""

import numpy as np
import pytest
from helpers import flatten, host

import xpbptt

NET = xpbptt.LSTM(3, (5, 4), bidirectional=True)


def entries(params):
    return [weights for pair in params for weights in pair]


def test_a_rule_changes_nothing_that_it_is_not_of(xp):
    plain = NET.init(7, dtype="float64")
    found = NET.init(7, xp=xp, dtype="float64", forget_bias=1.5, recurrent="orthogonal")
    for a, b, hidden in zip(entries(found), entries(plain), (5, 5, 4, 4), strict=True):
        np.testing.assert_array_equal(host(a.weight_ih), b.weight_ih)
        own = slice(hidden, 2 * hidden)
        for name, value in (("bias_ih", 1.5), ("bias_hh", 0)):
            bias, expected = host(getattr(a, name)), getattr(b, name).copy()
            expected[own] = value
            np.testing.assert_array_equal(bias, expected)


def test_orthogonal_gates_and_glorots_bound(xp):
    found = NET.init(0, xp=xp, dtype="float64", recurrent="orthogonal", input="glorot")
    for weights, inputs, hidden in zip(entries(found), (3, 3, 10, 10), (5, 5, 4, 4), strict=True):
        for gate in np.split(host(weights.weight_hh), 4):
            np.testing.assert_allclose(gate.T @ gate, np.eye(hidden), atol=1e-12)
        bound = (6 / (inputs + hidden)) ** 0.5
        assert 0.7 * bound < np.abs(host(weights.weight_ih)).max() <= bound
    first = np.split(host(entries(found)[0].weight_hh), 4)
    assert not np.allclose(first[0], first[1])
    wide = xpbptt.RNN(7, 3).init(0, input="orthogonal", dtype="float64")[0].weight_ih
    np.testing.assert_allclose(wide @ wide.T, np.eye(3), atol=1e-12)


def test_orthogonal_matrices_are_drawn_uniformly():
    """The signs of a bare factorisation would show in the mean of the diagonal."""
    draws = xpbptt.RNN(1, 2).init
    found = [draws(seed, recurrent="orthogonal")[0].weight_hh[0, 0] for seed in range(400)]
    assert abs(np.mean(found)) < 0.1


def test_functions_for_each_parameter(xp):
    seen = []

    def count(random, shape):
        seen.append(shape)
        return np.arange(np.prod(shape)).reshape(shape)

    net = xpbptt.GRU(3, (5, 4))
    found = net.init(0, xp=xp, parameters={"bias_ih": count}, recurrent=count)
    assert seen == [*[(5, 5)] * 3, (15,), *[(4, 4)] * 3, (12,)]
    np.testing.assert_array_equal(host(found[1].bias_ih), np.arange(12))
    np.testing.assert_array_equal(host(found[1].weight_hh)[4:8].ravel(), np.arange(16))


def test_a_parameter_of_the_cells_own(own_cell):
    net = xpbptt.Net(own_cell, 3, 5)
    found = net.init(0, parameters={"extra.p": lambda random, shape: np.full(shape, 0.25)})
    np.testing.assert_array_equal(found[0].extra.p, np.full(5, 0.25))
    plain = net.init(0)
    for a, b in zip(flatten(found[0])[:4], flatten(plain[0])[:4], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture
def own_cell():
    from typing import NamedTuple  # noqa: PLC0415

    class Own(NamedTuple):
        p: object

    def forward(u, v, state, *, extra, xp):
        h = extra.p * xp.tanh(u.a + v.a)
        return type(state)(h), ()

    rnn = xpbptt.cells.RNN_TANH
    return rnn._replace(name="own", forward=forward, extra=lambda hidden: Own((hidden,)))


@pytest.mark.parametrize("named", [("o", "f"), ("i",), ()])
def test_a_forget_gate_among_gates_of_which_not_all_have_a_product(named):
    cell = xpbptt.cells.LSTM._replace(name="partly", recurrent=named)
    net = xpbptt.Net(cell, 3, 5)
    (found,), (plain,) = net.init(0, forget_bias=-2), net.init(0)
    assert set(found.bias_ih[5:10]) == {-2}
    if not named:
        assert found.bias_hh == ()
        return
    expected = plain.bias_hh.copy()
    if "f" in named:
        expected[:5] = 0  # the first of the rows that there are
    np.testing.assert_array_equal(found.bias_hh, expected)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"forget_bias": "1"}, TypeError, "`forget_bias` must be a number or None, got '1'"),
        ({"forget_bias": True}, TypeError, "`forget_bias` must be a number or None, got True"),
        ({"recurrent": "he"}, ValueError, r"`recurrent` must be one of \['glorot', 'orthogonal'\]"),
        ({"input": []}, ValueError, "`input` must be one of"),
        ({"input": lambda r, s: 1.0}, ValueError, r"`input` drew an array of shape \(\), expected"),
        (
            {"parameters": {"bias": min}},
            ValueError,
            r"names 'bias', but a layer of LSTM\(3.* has w",
        ),
        (
            {"parameters": {"bias_ih": 0}},
            TypeError,
            r"`parameters\['bias_ih'\]` must be a function",
        ),
        ({"parameters": [min]}, TypeError, "`parameters` must be a dict of functions, got list"),
    ],
)
def test_what_is_no_rule_is_refused(options, error, text):
    with pytest.raises(error, match=text):
        NET.init(0, **options)


def test_a_cell_without_a_forget_gate_says_which_it_has():
    with pytest.raises(ValueError, match=r"the gate f, but the gates of GRU\(3, 5\) are r z n"):
        xpbptt.GRU(3, 5).init(0, forget_bias=1)
