"""Outputs and every gradient against ``torch.nn`` in float64, which autograd differentiates."""

import numpy as np
import pytest
from helpers import host

from xpbptt.interop.torch import from_state_dict, to_state_dict

TOLERANCE = 1e-10


@pytest.fixture
def net(net):
    """Every net that torch has."""
    if net.cell.name == "GRU-reset-before":
        pytest.skip("torch.nn has no GRU with the reset before the product")
    return net


def torch_module(torch, net):
    kind, options = {
        "RNN": (torch.nn.RNN, {}),
        "RNN-relu": (torch.nn.RNN, {"nonlinearity": "relu"}),
        "LSTM": (torch.nn.LSTM, {}),
        "GRU": (torch.nn.GRU, {}),
    }[net.cell.name]
    torch.manual_seed(3)
    return kind(
        net.input_size,
        net.hidden_size,
        net.num_layers,
        bidirectional=net.bidirectional,
        dtype=torch.float64,
        **options,
    )


def tensor(torch, array, *, grad=False):
    return torch.tensor(host(array), dtype=torch.float64, requires_grad=grad)


def stacked_states(torch, state, *, grad=False):
    """Turn our tree of states into torch's tuple of (layers times directions, B, H) tensors."""
    entries = [e for layer in state for e in (layer if isinstance(layer[0], tuple) else (layer,))]
    parts = zip(*[[host(part) for part in entry] for entry in entries], strict=True)
    return tuple(tensor(torch, np.stack(part), grad=grad) for part in parts)


def assert_equal(ours, theirs):
    theirs = theirs.detach().numpy()
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(host(ours), theirs, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("bias", [True, False])
def test_outputs_and_all_gradients_are_those_of_torch(torch, case, xp, bias):
    net = case.net
    module = torch_module(torch, net)
    if not bias:
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                parameter.mul_(0 if "bias" in name else 1)
    state_dict = {k: v for k, v in module.state_dict().items() if bias or "weight" in k}
    params = from_state_dict(state_dict, xp=xp)

    x = tensor(torch, case.x, grad=True)
    state = stacked_states(torch, case.state, grad=True)
    initial = state if len(state) > 1 else state[0]
    y, final = module(x, initial)
    finals = final if isinstance(final, tuple) else (final,)
    torch.autograd.backward(
        (y, *finals), (tensor(torch, case.dy), *stacked_states(torch, case.dstate))
    )

    ours, our_state, cache = net.forward(params, case.x, case.state)
    grads = net.backward(cache, case.dy, case.dstate)
    assert_equal(ours, y)
    for a, b in zip(stacked_states(torch, our_state), finals, strict=True):
        assert_equal(a.numpy(), b)
    assert_equal(grads.x, x.grad)
    for a, b in zip(stacked_states(torch, grads.state), state, strict=True):
        assert_equal(a.numpy(), b.grad)
    named = to_state_dict(grads.params)
    assert named.keys() == dict(module.named_parameters()).keys()
    for name, parameter in module.named_parameters():
        assert_equal(named[name], parameter.grad)


def test_our_weights_load_into_torch(torch, net, xp):
    params = net.init(5, xp=xp, dtype=xp.float64)
    module = torch_module(torch, net)
    state_dict = {k: tensor(torch, v) for k, v in to_state_dict(params).items()}
    module.load_state_dict(state_dict)
    x = xp.ones((6, 4, 3), dtype=xp.float64)
    y, _ = module(tensor(torch, x))
    assert_equal(net.infer(params, x)[0], y)
