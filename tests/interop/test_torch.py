"""The translation of names, without torch."""

import numpy as np
import pytest

import xpbptt
from xpbptt.interop.torch import from_state_dict, to_state_dict


@pytest.fixture
def state_dict():
    return to_state_dict(xpbptt.LSTM(3, 5, 2, bidirectional=True).init(0))


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("both", [False, True])
def test_there_and_back(xp, layers, both, assert_close):
    params = xpbptt.GRU(3, 5, layers, bidirectional=both).init(2, xp=xp, dtype=xp.float64)
    state_dict = to_state_dict(params, prefix="encoder.")
    assert len(state_dict) == 4 * layers * (1 + both)
    state_dict["decoder.weight"] = np.ones(2)
    assert_close(from_state_dict(state_dict, xp=xp, prefix="encoder."), params, 0)


def test_names_shapes_and_values(state_dict):
    assert list(state_dict)[:5] == [
        "weight_ih_l0",
        "weight_hh_l0",
        "bias_ih_l0",
        "bias_hh_l0",
        "weight_ih_l0_reverse",
    ]
    assert state_dict["weight_ih_l1_reverse"].shape == (20, 10)
    params = from_state_dict(state_dict)
    assert params[1][1].weight_ih is not state_dict["weight_ih_l1_reverse"]
    np.testing.assert_array_equal(params[1][1].weight_ih, state_dict["weight_ih_l1_reverse"])


def test_the_result_is_a_copy(state_dict):
    params = from_state_dict(state_dict)
    state_dict["weight_hh_l0"][...] = 0
    assert np.all(params[0][0].weight_hh != 0)


def test_layers_beyond_ten_are_in_order():
    params = xpbptt.RNN(3, 5, 12).init(0)
    assert from_state_dict(dict(sorted(to_state_dict(params).items())))[11].weight_hh.shape == (
        5,
        5,
    )


def test_without_biases(state_dict):
    weights = {k: v for k, v in state_dict.items() if "weight" in k}
    weights["weight_ih_l1"] = np.full_like(weights["weight_ih_l1"], np.nan)
    params = from_state_dict(weights)
    assert params[1][0].bias_hh.shape == (20,)
    assert params[1][0].bias_hh.dtype == np.float32
    assert not params[0][1].bias_ih.any()


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"weight_hr_l0": np.ones((2, 5))}, ValueError, "unknown key 'weight_hr_l0'"),
        ({"head.weight": np.ones((2, 5))}, ValueError, "pass its name as `prefix`"),
        ({"weight_hh_l1": None}, ValueError, r"lacks \['weight_hh_l1'\]"),
        ({"bias_hh_l1": None}, ValueError, r"lacks \['bias_hh_l1'\]"),
        ({"weight_ih_l3": np.ones((20, 10))}, ValueError, "lacks"),
        ({"weight_hh_l0": np.ones((21, 5))}, ValueError, r"weight_hh_l0'\]` has shape \(21, 5\)"),
        ({"weight_hh_l0": np.ones(5)}, ValueError, "weight_hh_l0"),
        ({"weight_ih_l1": np.ones((20, 9))}, ValueError, r"weight_ih_l1'\]` has shape \(20, 9\)"),
        ({"weight_ih_l00": np.ones((20, 3))}, ValueError, "unknown key 'weight_ih_l00'"),
        ({3: np.ones((20, 3))}, TypeError, "keys of `state_dict` must be str"),
        ({"bias_ih_l1": np.ones(19)}, ValueError, r"bias_ih_l1'\]` has shape \(19,\)"),
        ({"bias_ih_l1": np.ones(20, dtype=np.int64)}, TypeError, "bias_ih_l1.*int64"),
    ],
)
def test_a_state_dict_that_does_not_fit_is_refused(state_dict, change, error, text):
    state_dict.update(change)
    state_dict = {k: v for k, v in state_dict.items() if v is not None}
    with pytest.raises(error, match=text):
        from_state_dict(state_dict)


@pytest.mark.parametrize(
    ("argument", "error"),
    [([], TypeError), ({}, ValueError), ({"a.weight_ih_l0": np.ones((2, 2))}, ValueError)],
)
def test_what_is_no_state_dict_is_refused(argument, error):
    with pytest.raises(error, match="`state_dict`"):
        from_state_dict(argument, prefix="b.")


@pytest.mark.parametrize("params", [None, {}, (1,), ((1, 2),), (("a", "b", "c"),), np.ones(3)])
def test_what_is_no_tree_of_parameters_is_refused(params):
    with pytest.raises(TypeError, match="`params"):
        to_state_dict(params)


def test_a_single_entry_is_refused():
    with pytest.raises(TypeError, match="one entry a layer"):
        to_state_dict(xpbptt.RNN(3, 5).init(0)[0])
