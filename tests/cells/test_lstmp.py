"""The LSTM with projection, against ``torch.nn.LSTM(proj_size=…)`` in float64."""

import numpy as np
import pytest
from helpers import cover

import xpbptt
from xpbptt.testing import laws

T, B, I, H, P = 6, 4, 3, 5, 2


def flat(tree, torch):
    """The parts h and c of all layers and directions, one above the other, as torch has them."""
    return [torch.tensor(np.stack([one[k] for pair in tree for one in pair])) for k in (0, 1)]


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("engine", ["eager", "stepwise", "sequence"])
def test_outputs_and_all_gradients_are_those_of_torch(both, engine, torch, monkeypatch):
    monkeypatch.setenv("XPBPTT_ENGINE", engine)
    net = xpbptt.LSTMP(I, H, 2, proj_size=P, bidirectional=both)
    params = net.init(3, dtype="float64")
    module = torch.nn.LSTM(I, H, 2, proj_size=P, bidirectional=both, dtype=torch.float64)
    pairs = [entry if both else (entry,) for entry in params]
    named = {
        f"{name}_l{k}{'_reverse' * d}": array
        for k, pair in enumerate(pairs)
        for d, weights in enumerate(pair)
        for name, array in {**weights._asdict(), "weight_hr": weights.extra.weight_hr}.items()
        if name != "extra"
    }
    module.load_state_dict({name: torch.tensor(array) for name, array in named.items()})
    random = np.random.default_rng(0)
    x = random.standard_normal((T, B, I))
    state, dstate = (
        tuple(
            tuple(type(one)(*(random.standard_normal(part.shape) for part in one)) for one in pair)
            for pair in (entry if both else (entry,) for entry in net.infer(params, x)[1])
        )
        for _ in range(2)
    )
    xs, initial = (
        torch.tensor(x, requires_grad=True),
        [s.requires_grad_() for s in flat(state, torch)],
    )
    y, final = module(xs, tuple(initial))
    dy = random.standard_normal(tuple(y.shape))
    torch.autograd.backward((y, *final), (torch.tensor(dy), *flat(dstate, torch)))
    ours = lambda tree: tree if both else tuple(entry for (entry,) in tree)  # noqa: E731
    found, _, cache = net.forward(params, x, ours(state))
    grads = net.backward(cache, dy, ours(dstate))
    close = lambda a, b: np.testing.assert_allclose(a, b.detach().numpy(), rtol=0, atol=1e-11)  # noqa: E731
    close(found, y)
    close(grads.x, xs.grad)
    parameters = dict(module.named_parameters())
    for k, entry in enumerate(grads.params):
        for d, weights in enumerate(entry if both else (entry,)):
            end = f"_l{k}{'_reverse' * d}"
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                close(getattr(weights, name), parameters[name + end].grad)
            close(weights.extra.weight_hr, parameters[f"weight_hr{end}"].grad)
    made = [one for entry in grads.state for one in (entry if both else (entry,))]
    for k, part in enumerate(initial):
        close(np.stack([one[k] for one in made]), part.grad)


@cover(
    ("law", "layers", "both"),
    list(laws.LAWS),
    [1, 2],
    [False, True],
    strength=1,
)
def test_laws(law, layers, both, xp):
    laws.LAWS[law](xpbptt.LSTMP(I, H, layers, proj_size=P, bidirectional=both), xp=xp)


def test_shapes_and_refusals(xp):
    net = xpbptt.LSTMP(I, H, 2, proj_size=P)
    params = net.init(0, xp=xp)
    assert tuple(params[1].weight_ih.shape) == (4 * H, P)
    y, state, _ = net.forward(params, xp.ones((T, B, I), dtype=xp.float32))
    assert tuple(y.shape) == (T, B, P)
    assert [tuple(part.shape) for part in state[0]] == [(B, P), (B, H)]
    assert net.output_size == P
    wrong = tuple(type(one)(one.c, one.c) for one in state)
    meant = rf"of LSTMP\({I}, {H}, num_layers=2, proj_size={P}\)"
    text = rf"`state\[0\].h` has shape \(4, 5\), expected \(B, P\) {meant} = \(4, 2\)"
    with pytest.raises(ValueError, match=text):
        net.infer(params, xp.ones((T, B, I), dtype=xp.float32), wrong)
    _, _, cache = net.forward(params, xp.ones((T, B, I), dtype=xp.float32))
    with pytest.raises(ValueError, match=rf"`dy` has shape .*, expected \(T, B, D·P\) {meant}"):
        net.backward(cache, xp.ones((T, B, H), dtype=xp.float32))
    for size in (0, -1, 2.0, True):
        with pytest.raises((TypeError, ValueError), match="`proj_size` must be"):
            xpbptt.LSTMP(I, H, proj_size=size)
