"""torch's device "meta": shapes and dtypes without numbers, so nothing can depend on a number."""

import pytest

import xpbptt
from xpbptt._arrays.tree import leaves
from xpbptt.cells import LSTM


@pytest.fixture
def make(torch):
    return lambda array: torch.asarray(array, device="meta")


def test_every_call_runs_without_numbers(call, make, assert_same_on_numpy):
    results = call(make)
    assert {leaf.device.type for _, leaf in leaves(results)} == {"meta"}
    assert_same_on_numpy(results, call, host=None)


def test_parameters_can_be_made_there(torch):
    net, readout = xpbptt.LSTM(3, 5, 2), xpbptt.Linear(5, 2)
    for module in (net, readout):
        params = module.init(0, xp=torch, dtype=torch.bfloat16, device="meta")
        expected = leaves(module.init(0))
        for (path, leaf), (_, like) in zip(leaves(params), expected, strict=True):
            assert leaf.device.type == "meta", path
            assert leaf.dtype == torch.bfloat16
            assert tuple(leaf.shape) == like.shape


def test_a_read_inside_a_step_is_seen(torch, make):
    def forward(u, v, state, *, xp):
        return LSTM.forward(u, v, state, xp=xp) if xp.any(u.i > 0) else None

    net = xpbptt.Net(LSTM._replace(forward=forward), 3, 5)
    params = net.init(0, xp=torch, device="meta")
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        net.forward(params, torch.ones((2, 1, 3), device="meta"))
