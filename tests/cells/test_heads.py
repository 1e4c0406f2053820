"""Heads: the same as one head whose W_hh has zeros between them, and as torch's einsum."""

import numpy as np
import pytest
from helpers import cover, flatten, host, map_arrays

import xpbptt
from xpbptt.testing import check_gradients

T, B, I, H = 7, 4, 3, 6
LSTM_HEADS = xpbptt.cells.LSTM._replace(name="LSTM-heads", heads=2)
CELLS = {
    "SLSTM": xpbptt.SLSTM(I, H, heads=3).cell,
    "LSTM": LSTM_HEADS,
    "as many as units": xpbptt.SLSTM(I, H, heads=H).cell,
    "peephole": xpbptt.PeepholeLSTM(I, H).cell._replace(heads=3),
}


def dense(weight, heads):
    """Return the whole matrix of blocks (G·H, H/heads)."""
    weight, size = host(weight), weight.shape[1]
    whole = np.zeros((weight.shape[0], heads * size))
    for row in range(weight.shape[0]):
        head = row % (heads * size) // size
        whole[row, head * size : (head + 1) * size] = weight[row]
    return whole


def of_one_head(params, heads, xp):
    return map_weights(lambda w: xp.asarray(dense(w, heads)), params)


def map_weights(function, params):
    """Apply a function to every W_hh."""
    if hasattr(params, "weight_hh"):
        return params._replace(weight_hh=function(params.weight_hh))
    return tuple(map_weights(function, each) for each in params)


@cover(
    "name, layers, both, masked, reset, bptt",
    list(CELLS),
    [1, 2],
    [False, True],
    [False, True],
    [False, True],
    [xpbptt.KeepAll(), xpbptt.Segments(3), xpbptt.KeepStates(), xpbptt.Truncated(2)],
)
def test_they_are_one_head_with_zeros(xp, make_case, name, layers, both, masked, reset, bptt):
    cell = CELLS[name]
    net = xpbptt.Net(cell, I, H, layers, bidirectional=both)
    one = xpbptt.Net(cell._replace(heads=1), I, H, layers, bidirectional=both)
    case, random = make_case(net, steps=T), np.random.default_rng(0)
    given = {"mask": xp.asarray(random.random((T, B)) < 0.7) if masked else None}
    if reset:
        given["reset"] = xp.asarray(random.random((T, B)) < 0.3)
    params = of_one_head(case.params, cell.heads, xp)
    y, state, cache = net.forward(case.params, case.x, case.state, bptt=bptt, **given)
    expected, after, kept = one.forward(params, case.x, case.state, bptt=bptt, **given)
    same((y, state), (expected, after))
    same(net.infer(case.params, case.x, case.state, **given), (expected, after))
    options = {"dstate": case.dstate, "clip_step": 0.5}
    found, theirs = (n.backward(c, case.dy, **options) for n, c in ((net, cache), (one, kept)))
    size = H // cell.heads
    blocks = map_weights(
        lambda w: np.concatenate(
            [
                host(w)[g * H + n * size :][:size, n * size : (n + 1) * size]
                for g in range(w.shape[0] // H)
                for n in range(cell.heads)
            ]
        ),
        theirs.params,
    )
    same(tuple(found), (blocks, *theirs[1:]))
    if not both:
        stream = net.stream(case.params, case.state, batch=B)
        steps = one.stream(params, case.state, batch=B)
        for t in range(T):
            same(stream(case.x[t, ...]), steps(case.x[t, ...]))
        same(
            net.step(case.params, case.x[0, ...], case.state),
            one.step(params, case.x[0, ...], case.state),
        )


def same(found, expected):
    for a, b in zip(flatten(found), flatten(expected), strict=True):
        np.testing.assert_allclose(host(a), host(b), rtol=0, atol=1e-13)


@pytest.mark.parametrize("engine", ["eager", ""])
@pytest.mark.parametrize("part", ["h", "c"])
def test_a_nan_of_one_head_stays_in_its_sequence(xp, make_case, monkeypatch, engine, part):
    """It reaches the other heads, see `xpbptt.bptt.layers.heads`, and no other sequence."""
    monkeypatch.setenv("XPBPTT_ENGINE", engine)
    case = make_case(xpbptt.SLSTM(I, H, heads=2), steps=T)
    (state,) = case.state
    spoilt = np.array(host(getattr(state, part)))
    spoilt[1, 0] = np.nan  # a unit of the first head
    found = []
    for given in (state, state._replace(**{part: xp.asarray(spoilt)})):
        y, _, cache = case.net.forward(case.params, case.x, (given,))
        grads = case.net.backward(cache, case.dy, per_sample=True)
        by_sequence = (host(each).swapaxes(0, 1) for each in (y, grads.x))
        found.append([*by_sequence, *map(host, flatten(grads.params))])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a[[0, 2, 3]], b[[0, 2, 3]])
        assert np.isnan(b[1]).any()


def test_gradients(make_case):
    case = make_case(xpbptt.SLSTM(I, H, 2, heads=2, bidirectional=True))
    found = check_gradients(case.net, case.params, case.x, case.state)
    assert found.error < 1e-7  # by central differences, where there are no complex numbers


def test_of_each_sequence_and_along_a_direction(xp, make_case):
    case = make_case(xpbptt.Net(LSTM_HEADS, I, H))
    y, _, cache = case.net.forward(case.params, case.x, case.state)
    each = case.net.backward(cache, case.dy, case.dstate, per_sample=True).params
    summed = case.net.backward(cache, case.dy, case.dstate)
    assert each[0].weight_hh.shape == (B, 4 * H, H // 2)
    same(map_arrays(lambda a: xp.sum(a, axis=0), each), summed.params)
    _, along = case.net.jvp(case.params, case.x, case.state, tangents=tuple(summed))
    square = sum(float((host(a) ** 2).sum()) for a in flatten(tuple(summed)))
    pairs = zip(flatten(along), flatten((case.dy, case.dstate)), strict=True)
    np.testing.assert_allclose(sum((host(a) * host(b)).sum() for a, b in pairs), square, rtol=1e-11)
    assert y.shape == case.dy.shape


def test_parity_with_einsum_in_torch(xp, torch, normal):
    """W_hh as in the authors' code: a matrix for each gate and head."""
    heads, size = 3, 2
    net = xpbptt.SLSTM(I, H, heads=heads)
    (params,), x = net.init(0, xp=xp, dtype="float64"), normal(T, B, I)
    p = map_arrays(lambda a: torch.tensor(host(a), requires_grad=True), params[:4])
    weight_ih, weight_hh, bias_ih, bias_hh = p
    h, c, n, m = (torch.zeros(B, H, dtype=torch.float64) for _ in range(4))
    loss = 0
    for x_t in torch.tensor(host(x)):
        of_heads = weight_hh.reshape(4, heads, size, size)
        v = torch.einsum("gnik,bnk->bgni", of_heads, h.reshape(B, heads, size))
        i, f, z, o = (x_t @ weight_ih.T + bias_ih + v.reshape(B, 4 * H) + bias_hh).split(H, dim=1)
        kept = torch.nn.functional.logsigmoid(f) + m
        m = torch.where((n == 0) | (i >= kept), i, kept)
        i, f = torch.exp(i - m), torch.exp(kept - m)
        c, n = f * c + i * torch.tanh(z), f * n + i
        h = torch.sigmoid(o) * c / n
        loss = loss + (h * h).sum() / 2
    loss.backward()
    y, _, cache = net.forward((params,), x)
    (grads,) = net.backward(cache, y).params
    np.testing.assert_allclose(host(y)[-1], h.detach().numpy(), atol=1e-13)
    for name, theirs in zip(params._fields, p, strict=False):
        np.testing.assert_allclose(host(getattr(grads, name)), theirs.grad.numpy(), atol=1e-11)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: xpbptt.SLSTM(I, 7, heads=3), ValueError, "`hidden_size` = 7 must be a multiple"),
        (lambda: xpbptt.SLSTM(I, (6, 8), heads=3), ValueError, "`hidden_size` = 8 must be"),
        (lambda: xpbptt.SLSTM(I, H, heads=0), ValueError, "`heads` must be at least 1, got 0"),
        (lambda: xpbptt.SLSTM(I, H, heads=2.0), TypeError, "`heads` must be an int"),
        (
            lambda: xpbptt.Net(xpbptt.cells.MIN_GRU._replace(heads=2), I, H),
            ValueError,
            "`heads` = 2 are of what W_hh reads, but MinGRU has no product",
        ),
    ],
)
@pytest.mark.usefixtures("xp")
def test_what_makes_no_heads_is_refused(make, error, text):
    with pytest.raises(error, match=text):
        make()


@pytest.mark.parametrize("both", [False, True])
def test_of_no_sequences(xp, make_case, both):
    case = make_case(xpbptt.SLSTM(I, H, heads=3, bidirectional=both), batch=0)
    *_, cache = case.net.forward(case.params, case.x, case.state)
    for each, lead in (({}, ()), ({"per_sample": True}, (0,))):
        grads = case.net.backward(cache, case.dy, case.dstate, **each)
        for found, param in zip(flatten(grads.params), flatten(case.params), strict=True):
            assert found.shape == (*lead, *param.shape)


def test_a_rule_of_w_hh_draws_each_head(xp):
    (weights,) = xpbptt.SLSTM(I, H, heads=3).init(0, xp=xp, dtype="float64", recurrent="orthogonal")
    for block in np.split(host(weights.weight_hh), 4 * 3):
        np.testing.assert_allclose(block.T @ block, np.eye(2), atol=1e-12)


@pytest.mark.usefixtures("xp")
def test_they_have_no_place_in_torch():
    params = xpbptt.SLSTM(I, H, heads=3).init(0)
    with pytest.raises(ValueError, match="`params` have 12 gates by the shapes of `weight_hh`"):
        xpbptt.interop.torch.to_state_dict(params)


def test_it_is_said_what_they_take():
    many, one = xpbptt.SLSTM(I, H, heads=3), xpbptt.SLSTM(I, H)
    assert many.cost(20, 8).bytes == one.cost(20, 8).bytes + 4 * H * H * 4
    assert str(many) == "SLSTM-3-heads(3, 6)"
    assert many.init(0)[0].weight_hh.shape == (4 * H, 2)
