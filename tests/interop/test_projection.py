"""State dicts of ``torch.nn.LSTM(proj_size=…)`` and the parameters of `LSTMP`, both ways."""

import numpy as np
import pytest

import xpbptt
from xpbptt.interop.torch import from_state_dict, to_state_dict

T, B, I, H, P = 6, 4, 3, 5, 2
KINDS = pytest.mark.parametrize(("layers", "both"), [(1, False), (3, False), (1, True), (2, True)])


def module(torch, layers, both, **options):
    options = {"proj_size": P, "bidirectional": both, "dtype": torch.float64, **options}
    return torch.nn.LSTM(I, H, layers, **options)


@pytest.fixture
def state_dict():
    return to_state_dict(xpbptt.LSTMP(I, H, 2, proj_size=P, bidirectional=True).init(0))


def assert_equal_outputs(torch, net, params, theirs):
    x = np.random.default_rng(1).standard_normal((T, B, I))
    y, state = net.infer(params, x)
    with torch.no_grad():
        expected, final = theirs(torch.tensor(x))
    entries = [one for entry in state for one in (entry if net.bidirectional else (entry,))]
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-12)
    for k, part in enumerate(final):
        np.testing.assert_allclose(np.stack([e[k] for e in entries]), part, rtol=0, atol=1e-12)


@KINDS
def test_from_torch(torch, layers, both):
    theirs = module(torch, layers, both)
    net = xpbptt.LSTMP(I, H, layers, proj_size=P, bidirectional=both)
    assert_equal_outputs(torch, net, from_state_dict(theirs.state_dict()), theirs)


@KINDS
def test_to_torch(torch, layers, both):
    theirs = module(torch, layers, both)
    net = xpbptt.LSTMP(I, H, layers, proj_size=P, bidirectional=both)
    params = net.init(5, dtype="float64")
    state_dict = to_state_dict(params)
    assert list(state_dict) == list(theirs.state_dict())
    theirs.load_state_dict({name: torch.tensor(array) for name, array in state_dict.items()})
    assert_equal_outputs(torch, net, params, theirs)


def test_without_biases(torch):
    theirs = module(torch, 2, both=True, bias=False)
    net = xpbptt.LSTMP(I, H, 2, proj_size=P, bidirectional=True)
    assert_equal_outputs(torch, net, from_state_dict(theirs.state_dict()), theirs)


@pytest.mark.parametrize("both", [False, True])
def test_there_and_back(xp, assert_close, both):
    """With a size of its own for each layer, which torch does not have, and a prefix."""
    net = xpbptt.LSTMP(I, (5, 7, 6), proj_size=P, bidirectional=both)
    params = net.init(2, xp=xp, dtype=xp.float64)
    state_dict = {**to_state_dict(params, prefix="a."), "b.weight_hr_l0": np.ones(2)}
    found = from_state_dict(state_dict, xp=xp, prefix="a.")
    assert_close(found, params, 0)
    first = (found[0][0] if both else found[0]).extra.weight_hr
    assert first is not state_dict["a.weight_hr_l0"]


def test_a_projection_to_as_many_columns_as_units(xp, assert_close):
    """Where P = H the shapes alone would be those of an LSTM without projection."""
    params = xpbptt.LSTMP(I, H, 2, proj_size=H).init(0, xp=xp)
    assert_close(from_state_dict(to_state_dict(params), xp=xp), params, 0)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (
            {"weight_hr_l0": None, "weight_hr_l1_reverse": None},
            ValueError,
            r"lacks \['weight_hr_l0', 'weight_hr_l1_reverse'\]: a projection has its",
        ),
        (
            {"weight_hr_l1": np.ones((H, P), "float32")},
            ValueError,
            r"weight_hr_l1'\]` has shape \(5, 2\), expected \(P, H\) of the other tensors = \(2, 5",
        ),
        ({"weight_hr_l0": np.ones((P, H))}, TypeError, "weight_hr_l0'.* has dtype float64"),
        ({"weight_hr_l0": 1.0}, TypeError, r"weight_hr_l0'\]` must be a tensor"),
        ({"weight_hh_l1": np.ones((4 * H, H), "float32")}, ValueError, "weight_hh_l1.* has shape"),
        (
            {"weight_hh_l0": np.ones((3 * H, P), "float32")},
            ValueError,
            r"has shape \(15, 2\), expected \(4·H, P\): .* xpbptt.LSTMP; for any other net leave",
        ),
    ],
)
def test_a_state_dict_that_does_not_fit_is_refused(state_dict, change, error, match):
    state_dict = {k: v for k, v in {**state_dict, **change}.items() if v is not None}
    with pytest.raises(error, match=match):
        from_state_dict(state_dict)


def test_parameters_that_are_projected_in_part_are_refused():
    one, two = (xpbptt.LSTMP(I, H, 2, proj_size=P).init(seed) for seed in (0, 1))
    with pytest.raises(ValueError, match=r"`params\[1\]` has no `weight_hr`, unlike the first"):
        to_state_dict((one[0], two[1]._replace(extra=())))
    with pytest.raises(ValueError, match=r"`params\[1\]` has a `weight_hr`, unlike the first"):
        to_state_dict((xpbptt.LSTM(I, P).init(0)[0], two[1]))


def test_the_parameters_in_another_net_are_refused():
    x = np.ones((T, B, I), "float32")
    plain, projected = xpbptt.LSTM(I, H), xpbptt.LSTMP(I, H, proj_size=P)
    ours, theirs = from_state_dict(to_state_dict(projected.init(0))), plain.init(0)
    match = r"`params\[0\].extra`, .*, must be empty; got .*weight_hr.*: make the net to which"
    with pytest.raises(ValueError, match=match):
        plain.infer(ours, x)
    with pytest.raises(ValueError, match=r"`params\[0\].extra`, .* must be a .*weight_hr"):
        projected.infer(theirs, x)


@pytest.mark.parametrize("batch_first", [False, True])
@KINDS
def test_a_module_is_torch_nn_with_its_state_dict(torch, layers, both, batch_first):
    """The same seed draws the same parameters; outputs, states and gradients agree."""
    from xpbptt.bridges.torch import Module  # noqa: PLC0415 - needs torch

    torch.manual_seed(0)
    theirs = module(torch, layers, both, batch_first=batch_first)
    torch.manual_seed(0)
    net = xpbptt.LSTMP(I, H, layers, proj_size=P, bidirectional=both)
    ours = Module(net, batch_first=batch_first, dtype=torch.float64)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert all(map(torch.equal, ours.parameters(), theirs.parameters()))
    theirs.reset_parameters()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(*((B, T, I) if batch_first else (T, B, I)), dtype=torch.float64)
    results = []
    for each in (ours, theirs):
        y, state = each(x)
        if each is ours:
            entries = [one for entry in state for one in (entry if both else (entry,))]
            state = [torch.stack([entry[k] for entry in entries]) for k in (0, 1)]
        loss = (y**3).sum() + (state[0] ** 2).sum() + state[1].sum()
        results.append((y, *state, *torch.autograd.grad(loss, list(each.parameters()))))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)
