"""torch's own autograd is not to record what has a backward pass here."""

import pytest

import xpbptt

torch = pytest.importorskip("torch", reason="is about torch")

T, B, I, H = 6, 4, 3, 5


@pytest.fixture
def arguments():
    net = xpbptt.LSTM(I, H)
    params, x = net.init(0, xp=torch), torch.ones((T, B, I))
    y, state, cache = net.forward(params, x)
    return {"net": net, "params": params, "x": x, "state": state, "y": y, "cache": cache}


def recording(tree):
    """Return the same numbers in tensors that require grad."""
    if isinstance(tree, tuple):
        children = map(recording, tree)
        return type(tree)(*children) if hasattr(tree, "_fields") else tuple(children)
    return tree.clone().requires_grad_()


REFUSED = r"requires grad, and torch would record .*: pass `.*.detach\(\)`"


@pytest.mark.parametrize("name", ["params", "x", "state"])
@pytest.mark.parametrize("function", ["forward", "infer", "step"])
def test_a_net(arguments, name, function):
    of = arguments | {name: recording(arguments[name])}

    def run(of):
        x = of["x"][0] if function == "step" else of["x"]
        return getattr(of["net"], function)(of["params"], x, of["state"])[0]

    argument = {"params": r"params\[0\].weight_ih", "state": r"state\[0\].h", "x": "x(_t)?"}[name]
    with pytest.raises(ValueError, match=f"`{argument}` {REFUSED}"):
        run(of)
    assert not run(arguments).requires_grad


def test_parameters_of_a_module(arguments):
    module = torch.nn.LSTM(I, H)
    params = (xpbptt.Weights(*module.parameters()),)
    with pytest.raises(ValueError, match=rf"`params\[0\].weight_ih` {REFUSED}"):
        arguments["net"].infer(params, arguments["x"])
    detached = (xpbptt.Weights(*(each.detach() for each in module.parameters())),)
    y, _ = arguments["net"].infer(detached, arguments["x"])
    assert torch.allclose(y, module(arguments["x"])[0], atol=1e-6)
    assert not y.requires_grad


def test_backward(arguments):
    net, cache, dy = arguments["net"], arguments["cache"], arguments["y"]
    with pytest.raises(ValueError, match=f"`dy` {REFUSED}"):
        net.backward(cache, recording(dy))
    with pytest.raises(ValueError, match=rf"`dstate\[0\].h` {REFUSED}"):
        net.backward(cache, dy, recording(arguments["state"]))


def test_optimizers_and_losses(arguments):
    params, optimizer = arguments["params"], xpbptt.adam()
    with pytest.raises(ValueError, match=rf"`params\[0\].weight_ih` {REFUSED}"):
        optimizer.init(recording(params))
    with pytest.raises(ValueError, match=rf"`grads\[0\].weight_ih` {REFUSED}"):
        optimizer.update(recording(params), optimizer.init(params), params)
    logits, labels = recording(arguments["y"]), torch.zeros((T, B), dtype=torch.int64)
    with pytest.raises(ValueError, match=f"`predictions` {REFUSED}"):
        xpbptt.mean_squared_error(logits, arguments["y"])
    with pytest.raises(ValueError, match=f"`logits` {REFUSED}"):
        xpbptt.softmax_cross_entropy(logits, labels)
