"""Recurrent dropout and zoneout: the papers' equations by torch, seeds, shares, expectations."""

import pickle

import numpy as np
import pytest
from helpers import CELLS, cover, flatten, host

import xpbptt
from xpbptt.bptt.layers.noise import Noise, Rates
from xpbptt.nets.net import without_noise
from xpbptt.testing import check_gradients

T, B, I, H = 6, 4, 3, 5
SEED = 11


def drawn(net, seed=SEED):
    """Return the factors (B, H) and zones (T, B, H) of a net of one layer and direction."""
    key = int(np.random.default_rng(seed).integers(2**31))
    noise = Noise(Rates(net.recurrent_dropout, net.zones), key)
    parts = [np.ones((B, H))] * len(net.recurrence.state._fields)
    zones = noise.zones(T, parts, xp=np) if net.zones else (None, None)
    return noise.factors(parts[0], xp=np), zones


@pytest.mark.parametrize("rates", [(0.4, 0.0), (0.0, (0.2, 0.5)), (0.3, (0.0, 0.4))])
def test_parity_with_the_papers_lstm_in_torch(torch, xp, make_case, rates):
    """h ∘ m in the product, m the same at all steps; each part left what it was, anew each step."""
    net = xpbptt.LSTM(I, H, recurrent_dropout=rates[0], zoneout=rates[1])
    case = make_case(net)
    factors, zones = drawn(net)
    leaf = lambda a: torch.tensor(host(a), requires_grad=True)  # noqa: E731
    weights, x = [leaf(a) for a in case.params[0][:4]], leaf(case.x)
    first = [leaf(part) for part in case.state[0]]
    (h, c), outputs = first, []
    for t in range(T):
        read = h if factors is None else h * torch.tensor(factors)
        z = x[t] @ weights[0].T + weights[2] + read @ weights[1].T + weights[3]
        i, f, g, o = z.chunk(4, dim=1)
        made_c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        made_h = o.sigmoid() * made_c.tanh()
        stay = [None if zone is None else torch.tensor(zone[t]) for zone in zones]
        h, c = (
            made if zone is None else torch.where(zone, old, made)
            for zone, old, made in zip(stay, (h, c), (made_h, made_c), strict=True)
        )
        outputs.append(h)
    upstream = [torch.tensor(host(a)) for a in (case.dy, *case.dstate[0])]
    torch.autograd.backward([torch.stack(outputs), h, c], upstream)
    y, last, cache = net.forward(case.params, case.x, case.state, dropout_seed=SEED)
    grads = net.backward(cache, case.dy, case.dstate)
    close = lambda a, b: np.testing.assert_allclose(host(a), b, rtol=0, atol=1e-12)  # noqa: E731
    close(y, torch.stack(outputs).detach().numpy())
    close(last[0].c, c.detach().numpy())
    for found, tensor in zip(grads.params[0][:4], weights, strict=True):
        close(found, tensor.grad.numpy())
    for found, tensor in zip((grads.x, *grads.state[0]), (x, *first), strict=True):
        close(found, tensor.grad.numpy())


def test_the_same_elements_on_every_library_and_in_every_chunk(xp):
    noise = Noise(Rates(0.3, (0.2, 0.6), number=3), 12345)
    state = [xp.ones((B, H), dtype=xp.float64)] * 2
    expected = [np.ones((B, H))] * 2
    np.testing.assert_array_equal(
        host(noise.factors(state[0], xp=xp)), noise.factors(expected[0], xp=np)
    )
    whole = noise.zones(T, expected, xp=np)
    later = noise._replace(first=2).zones(T - 2, state, xp=xp)
    for a, b in zip(later, whole, strict=True):
        np.testing.assert_array_equal(host(a), b[2:])


@cover(
    "name, noise, bptt",
    list(CELLS),
    [(0.4, 0.0), (0.0, 0.3), (0.3, 0.2)],
    [xpbptt.KeepAll(), xpbptt.KeepStates(), xpbptt.Segments(2)],
)
def test_gradients_on_the_eager_engine(xp, make_case, monkeypatch, name, noise, bptt):
    monkeypatch.setenv("XPBPTT_ENGINE", "eager")
    net = CELLS[name](I, H, recurrent_dropout=noise[0], zoneout=noise[1])
    case = make_case(net)
    options = {"dropout_seed": 3, "bptt": bptt}
    found = check_gradients(net, case.params, case.x, case.state, **options)
    assert found.error < (1e-7 if name == "rnn-relu" else 1e-12)


def test_shares_and_independence():
    noise = Noise(Rates(0.3, (0.1, 0.5)), 5)
    state = [np.ones((40, 50))] * 2
    factors = noise.factors(state[0], xp=np)
    assert set(np.unique(factors)) == {0, 1 / 0.7}
    assert abs((factors == 0).mean() - 0.3) < 0.04
    first, second = noise.zones(60, state, xp=np)
    assert abs(first.mean() - 0.1) < 0.01
    assert abs(second.mean() - 0.5) < 0.01
    others = (noise._replace(key=6), noise._replace(rates=Rates(0.3, (0.1, 0.5), number=1)))
    for other in (first, second[1:], *(each.zones(60, state, xp=np)[1] for each in others)):
        mine = second[: len(other)]
        assert abs(np.corrcoef(mine.ravel(), other.ravel())[0, 1]) < 0.02


@cover("name, layers, both", list(CELLS), [1, 2], [False, True])
def test_infer_is_the_net_without_noise_and_the_same_as_step_by_step(
    xp, make_case, assert_close, name, layers, both
):
    net = CELLS[name](I, H, layers, bidirectional=both, recurrent_dropout=0.5, zoneout=0.3)
    case = make_case(net)
    quiet = without_noise(net)
    found = net.infer(case.params, case.x, case.state)
    y, last, cache = quiet.forward(case.params, case.x, case.state)
    assert_close(found, (y, last))
    quiet.backward(cache, case.dy)
    plain = CELLS[name](I, H, layers, bidirectional=both)
    assert bool(xp.any(plain.infer(case.params, case.x, case.state)[0] != y))
    if both:
        return
    stream, state, rows = net.stream(case.params, case.state, batch=B, copy=True), case.state, []
    for t in range(T):
        y_t, state = net.step(case.params, case.x[t, ...], state)
        np.testing.assert_allclose(host(stream(case.x[t, ...])), host(y_t), atol=1e-13)
        rows.append(y_t)
    assert_close((xp.stack(rows, axis=0), state), found)


def test_what_zoneout_expects(xp, make_case):
    """The state is p times what it was and 1 - p times what the cell makes of it."""
    net = xpbptt.LSTM(I, H, zoneout=(0.25, 0.5))
    case, state = make_case(net), None
    state = case.state
    for t in range(3):
        _, (made,) = xpbptt.LSTM(I, H).step(case.params, case.x[t, ...], state)
        expected = [
            p * host(old) + (1 - p) * host(new)
            for p, old, new in zip((0.25, 0.5), state[0], made, strict=True)
        ]
        _, state = net.step(case.params, case.x[t, ...], state)
        for part, value in zip(state[0], expected, strict=True):
            np.testing.assert_allclose(host(part), value, atol=1e-13)


def test_the_seed_decides_and_is_needed(make_case, assert_close, xp):
    for options in ({"recurrent_dropout": 0.4}, {"zoneout": 0.4}):
        case = make_case(xpbptt.GRU(I, H, **options))
        runs = [case.net.forward(case.params, case.x, dropout_seed=s)[0] for s in (1, 1, 2)]
        assert_close(runs[0], runs[1], 0)
        assert bool(xp.any(runs[0] != runs[2]))
        with pytest.raises(ValueError, match=r"`dropout_seed` is needed by GRU\(3, 5, .*=0.4\)"):
            case.net.forward(case.params, case.x)


def test_layers_and_directions_draw_different_elements(make_case):
    net = xpbptt.RNN(I, H, 2, bidirectional=True, recurrent_dropout=0.5)
    params = tuple(
        tuple(w._replace(weight_ih=0 * w.weight_ih, weight_hh=np.eye(H)) for w in pair)
        for pair in net.init(0, dtype="float64")
    )
    state = net.infer(params, np.zeros((0, 9, I)))[1]
    state = tuple(tuple(type(one)(np.ones_like(one.h)) for one in pair) for pair in state)
    _, _, _, states = net.forward(params, np.zeros((1, 9, I)), state, dropout_seed=3, states=True)
    bias = [w.bias_ih + w.bias_hh for pair in params for w in pair]
    ends = [one.h[0] for pair in states for one in pair]
    masks = [np.isclose(h, np.tanh(b)) for h, b in zip(ends, bias, strict=True)]
    for k, mask in enumerate(masks):
        assert 0.2 < mask.mean() < 0.8
        assert all(np.any(mask != other) for other in masks[:k])


def test_a_net_shows_its_noise_and_is_a_value():
    net = xpbptt.LSTM(I, H, 2, dropout=0.1, recurrent_dropout=0.2, zoneout=(0.3, 0.3))
    text = "LSTM(3, 5, num_layers=2, dropout=0.1, recurrent_dropout=0.2, zoneout=0.3)"
    assert repr(net) == text
    assert pickle.loads(pickle.dumps(net)) == eval(f"xpbptt.{text}")
    quiet = without_noise(net)
    assert pickle.loads(pickle.dumps(quiet)) == without_noise(net) == quiet
    assert xpbptt.LSTM(I, H, zoneout=(0, 0)) == xpbptt.LSTM(I, H)
    assert len({xpbptt.LSTM(I, H, zoneout=(0.1, 0.3)), xpbptt.LSTM(I, H, zoneout=[0.1, 0.3])}) == 1


def test_a_layer_of_torch_draws_in_training_alone(torch):
    module = xpbptt.bridges.torch.Module(xpbptt.GRU(I, H, recurrent_dropout=0.5, zoneout=0.3))
    x = torch.ones(T, B, I)
    first, second = module(x)[0], module(x)[0]
    assert bool((first != second).any())
    module.eval()
    y, _ = module(x)
    y.sum().backward()
    np.testing.assert_array_equal(y.detach(), module(x)[0].detach())
    params = xpbptt.interop.torch.from_state_dict(module.state_dict())
    found, _ = module.net.infer(params, np.ones((T, B, I), dtype=np.float32))
    np.testing.assert_allclose(y.detach().numpy(), found, atol=1e-6)


@cover(
    "wrong, make",
    [
        ({"recurrent_dropout": 1.0}, ValueError, "`recurrent_dropout` must be from 0 to below 1"),
        ({"recurrent_dropout": "a"}, TypeError, "`recurrent_dropout` must be a number, got 'a'"),
        ({"zoneout": -0.5}, ValueError, "`zoneout` must be from 0 to below 1, got -0.5"),
        ({"zoneout": None}, TypeError, "`zoneout` must be a number, got None"),
        ({"zoneout": (0.1, 0.2, 0.3)}, ValueError, "must have a rate for each part of the state"),
    ],
    [xpbptt.RNN, xpbptt.LSTM, xpbptt.GRU],
    strength=1,
)
def test_rates_that_are_none(wrong, make):
    options, error, text = wrong
    with pytest.raises(error, match=text):
        make(I, H, **options)
    with pytest.raises(ValueError, match="`zoneout of c` must be from 0 to below 1, got 2"):
        xpbptt.LSTM(I, H, zoneout=(0.1, 2))


def test_a_recurrence_that_takes_no_factors():
    own = xpbptt.GRU(I, H).recurrence._replace(drops=None)
    with pytest.raises(
        ValueError, match=r"`recurrent_dropout` = 0.5 is of what W_hh reads, but GRU has no"
    ):
        xpbptt.Net(own, I, H, recurrent_dropout=0.5)
    assert flatten(xpbptt.Net(own, I, H, zoneout=0.5).init(0))
