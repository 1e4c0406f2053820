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
        ({"weight_hr_l0": np.ones((2, 5))}, ValueError, r"lacks \['weight_hr_l0_reverse'"),
        ({"head.weight": np.ones((2, 5))}, ValueError, "pass its name as `prefix`"),
        ({"weight_hh_l1": None}, ValueError, r"lacks \['weight_hh_l1'\]"),
        ({"bias_hh_l1": None}, ValueError, r"lacks \['bias_hh_l1'\]"),
        ({"weight_ih_l3": np.ones((20, 10))}, ValueError, "lacks"),
        ({"weight_hh_l0": np.ones((21, 5))}, ValueError, r"weight_hh_l0'\]` has shape \(21, 5\)"),
        ({"weight_hh_l0": np.ones(5)}, ValueError, "weight_hh_l0"),
        ({"weight_ih_l1": np.ones((20, 9))}, ValueError, r"weight_ih_l1'\]` has shape \(20, 9\)"),
        ({"weight_ih_l00": np.ones((20, 3))}, ValueError, "unknown key 'weight_ih_l00'"),
        (
            {"weight_hh_l0": [[1.0, 2.0]] * 20},
            TypeError,
            r"weight_hh_l0'\]` must be a tensor or an array.*got list: numpy.asarray",
        ),
        ({"bias_ih_l1": 3.0}, TypeError, r"bias_ih_l1'\]` must be a tensor or an array.*got float"),
        ({3: np.ones((20, 3))}, TypeError, "keys of `state_dict` must be str"),
        ({"bias_ih_l1": np.ones(19)}, ValueError, r"bias_ih_l1'\]` has shape \(19,\)"),
        ({"bias_ih_l1": np.ones(20, dtype=np.int64)}, TypeError, "bias_ih_l1.*int64"),
        ({"bias_ih_l1": np.ones(20)}, TypeError, r"bias_ih_l1'\]` has dtype float64, .* float32"),
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


ONE, TWO = xpbptt.RNN(3, 5).init(0), xpbptt.RNN(3, 5, bidirectional=True).init(0)
WRONG = ONE[0]._replace(bias_ih=np.ones(4, dtype=np.float32))
DOUBLE = ONE[0]._replace(bias_ih=np.ones(5))


@pytest.mark.parametrize(
    ("params", "error", "match"),
    [
        ((), ValueError, "`params` must have an entry for at least one layer"),
        (((),), TypeError, r"`params\[0\]` must be .* got \(\)"),
        ((ONE,), TypeError, r"`params\[0\]` must be Weights or a pair of Weights"),
        (
            (TWO[0], ONE[0]),
            ValueError,
            r"`params\[1\]` is in one .*`params\[0\]` in both",
        ),
        ((ONE[0], TWO[0]), ValueError, r"`params\[1\]` is in both directions"),
        ((ONE[0], ONE[0]), ValueError, r"`params\[1\].weight_ih` has shape \(5, 3\)"),
        ((WRONG,), ValueError, r"`params\[0\].bias_ih` has shape \(4,\)"),
        ((DOUBLE,), TypeError, r"`params\[0\].bias_ih` has dtype float64"),
        ((ONE[0]._replace(bias_hh=None),), TypeError, r"`params\[0\].bias_hh` must be an array"),
        (((TWO[0][0], WRONG),), ValueError, r"`params\[0\]\[1\].bias_ih` has shape \(4,\)"),
    ],
)
def test_a_tree_that_makes_no_net_is_refused(params, error, match):
    with pytest.raises(error, match=match):
        to_state_dict(params)


@pytest.mark.parametrize("bias", [True, False])
def test_from_torch_to_torch_without_the_host(torch, bias):
    """In bfloat16, which NumPy does not have."""
    module = torch.nn.GRU(3, 5, 2, bias=bias, bidirectional=True, dtype=torch.bfloat16)
    params = from_state_dict(module.state_dict(keep_vars=True), xp=torch)
    weight = params[1][1].weight_ih
    assert weight.dtype == params[1][1].bias_hh.dtype == torch.bfloat16
    assert not weight.requires_grad
    assert torch.equal(weight, module.weight_ih_l1_reverse)
    assert weight.data_ptr() != module.weight_ih_l1_reverse.data_ptr()
    module.load_state_dict(to_state_dict(params), strict=bias)


def test_from_torch_to_torch_stays_on_its_device(torch):
    module = torch.nn.LSTM(3, 5, device="meta")
    assert from_state_dict(module.state_dict(), xp=torch)[0].weight_ih.device.type == "meta"


def test_a_dtype_that_the_host_does_not_have_is_named(torch):
    module = torch.nn.LSTM(3, 5, dtype=torch.bfloat16)
    with pytest.raises(TypeError, match=r"`state_dict\['weight_ih_l0'\]` has dtype .*bfloat16"):
        from_state_dict(module.state_dict())
