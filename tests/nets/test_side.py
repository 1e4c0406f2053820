"""A side input, as the time since the step before: its way through layers, and its gradient."""

from typing import NamedTuple

import numpy as np
import pytest
from helpers import cover, host

import xpbptt
from xpbptt._arrays.tree import leaves, map_leaves

T, B, I, H = 6, 4, 3, 5


class Gates(NamedTuple):
    a: object


class State(NamedTuple):
    h: object


def forward(u, v, state, *, dt, xp):
    """Two side inputs: one is the decay's time, the other moves the sum."""
    t, shift = dt
    keep = xp.exp(-t * t)
    new = xp.tanh(u.a + v.a + shift)
    return State(keep * state.h + (1 - keep) * new), (keep, new)


def backward(residuals, state, new, dnew, *, dt, xp):
    keep, inner = residuals
    t, _ = dt
    da = dnew.h * (1 - keep) * (1 - inner * inner)
    dkeep = xp.sum(dnew.h * (state.h - inner), axis=-1, keepdims=True)
    ddt = -2 * t * keep * dkeep, xp.sum(da, axis=-1, keepdims=True)
    return Gates(da), Gates(da), State(dnew.h * keep), ddt


TWO = xpbptt.Cell("two", Gates, State, forward, backward, side=2)


def arrays(net, xp, columns):
    random = np.random.default_rng(5)
    draw = lambda *shape: xp.asarray(random.standard_normal(shape), dtype=xp.float64)  # noqa: E731
    shape = (T, B) if columns is None else (T, B, columns)
    params = net.init(1, xp=xp, dtype=xp.float64)
    state = tuple(
        type(each)(*(draw(B, H) for _ in each))
        if hasattr(each, "_fields")
        else tuple(type(one)(*(draw(B, H) for _ in one)) for one in each)
        for each in net.infer(params, draw(T, B, I), dt=draw(*shape))[1]
    )
    return params, draw(T, B, I), state, draw(*shape), draw(T, B, net.directions * H)


@cover(
    ("cell", "columns", "layers", "both", "bptt", "masked"),
    [xpbptt.cells.CFC, TWO],
    [None, "K"],
    [1, 2],
    [False, True],
    [xpbptt.KeepAll(), xpbptt.KeepStates(), xpbptt.Segments(2), xpbptt.Binomial(1)],
    [False, True],
)
def test_its_gradient_is_the_derivative(cell, columns, layers, both, bptt, masked, xp):
    """By central differences, of every element of dt, and along x, state and parameters."""
    if cell is TWO or columns:
        columns = cell.side
    net = xpbptt.Net(cell, I, H, layers, bidirectional=both, dropout=0.25 if layers > 1 else 0.0)
    params, x, state, dt, dy = arrays(net, xp, columns)
    mask = xp.asarray(np.random.default_rng(1).random((T, B)) < 0.7) if masked else None
    how = {"mask": mask, "bptt": bptt, "dropout_seed": 3 if net.dropout else None}

    def loss(x, dt):
        return float(xp.sum(net.forward(params, x, state, dt=dt, **how)[0] * dy))

    _, _, cache = net.forward(params, x, state, dt=dt, **how)
    grads = net.backward(cache, dy)
    assert tuple(grads.dt.shape) == tuple(dt.shape)
    random, step = np.random.default_rng(9), 1e-6
    for name, given in (("x", (x, dt)), ("dt", (x, dt))):
        k = 0 if name == "x" else 1
        along = xp.asarray(random.standard_normal(given[k].shape), dtype=xp.float64)
        moved = [
            loss(*(g + s * step * along if j == k else g for j, g in enumerate(given)))
            for s in (1, -1)
        ]
        expected = (moved[0] - moved[1]) / (2 * step)
        found = float(xp.sum(getattr(grads, name) * along))
        assert abs(found - expected) <= 1e-6 * max(1, abs(expected)), name


def test_the_cells_own_numbers(torch):
    """CfC of ncps without a backbone, mode "default", written from its equations for autograd."""
    net = xpbptt.CfC(I, H)
    params, x, state, dt, dy = arrays(net, np, None)
    tensor = lambda a: torch.tensor(np.array(a), requires_grad=True)  # noqa: E731
    weights = [tensor(a) for a in params[0][:4]]
    xs, h, ts = tensor(x), tensor(state[0].h), tensor(dt)
    w_ih, w_hh, b_ih, b_hh = weights
    first, outputs = h, []
    for x_t, ts_t in zip(xs, ts, strict=True):
        ff1, ff2, t_a, t_b = (x_t @ w_ih.T + b_ih + h @ w_hh.T + b_hh).split(H, dim=-1)
        t_interp = torch.sigmoid(t_a * ts_t[:, None] + t_b)
        h = torch.tanh(ff1) * (1.0 - t_interp) + t_interp * torch.tanh(ff2)
        outputs.append(h)
    y = torch.stack(outputs)
    y.backward(torch.tensor(dy))
    found, _, cache = net.forward(params, x, state, dt=dt)
    grads = net.backward(cache, dy)
    ours = found, *grads.params[0][:4], grads.x, grads.state[0].h, grads.dt
    theirs = y, *(w.grad for w in weights), xs.grad, first.grad, ts.grad
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other.detach().numpy(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("layers", [1, 2])
def test_steps_streams_and_blocks_give_what_forward_gives(layers, xp):
    net = xpbptt.Net(TWO, I, H, layers)
    params, x, state, dt, _ = arrays(net, xp, 2)
    reset = xp.asarray(np.random.default_rng(2).random((T, B)) < 0.3)
    y, _ = net.infer(params, x, state, reset=reset, dt=dt)
    whole, _, _ = net.forward(params, x, state, reset=reset, dt=dt)
    stream, other = net.stream(params, state, B), net.stream(params, state, B)
    now, found = state, []
    for t in range(T):
        given = {"reset": reset[t, ...], "dt": dt[t, ...]}
        y_t, now = net.step(params, x[t, ...], now, initial=state, **given)
        found.append(host(y_t))
        np.testing.assert_allclose(host(stream(x[t, ...], **given)), host(y_t), atol=1e-13)
    np.testing.assert_allclose(host(other.process(x, reset, dt=dt)), host(y), atol=1e-13)
    np.testing.assert_allclose(np.stack(found), host(y), atol=1e-13)
    np.testing.assert_allclose(host(whole), host(y), atol=1e-13)


@pytest.mark.parametrize("bptt", [xpbptt.KeepAll(), xpbptt.KeepStates()], ids=repr)
def test_it_is_compiled(bptt, monkeypatch):
    pytest.importorskip("llvmlite", reason="without it no cell is compiled")
    found = []
    for fuse, name in (("1", "sequence"), ("0", "eager")):
        monkeypatch.setenv("XPBPTT_FUSE", fuse)
        net = xpbptt.Net(TWO, I, H, 2, bidirectional=True)
        params, x, state, dt, dy = arrays(net, np, 2)
        mask = np.random.default_rng(1).random((T, B)) < 0.7
        y, _, cache = net.forward(params, x, state, mask, dt=dt, bptt=bptt)
        found.append([array for _, array in leaves((y, tuple(net.backward(cache, dy))[:4]))])
        assert net.engine(params, x).forward.name == name
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("dt", "sentence"),
    [
        (None, r"`dt` is needed by CfC\(3, 5\): an array \(T, B\), or with 1 columns"),
        (np.ones((T, B, 2)), r"`dt` has shape \(6, 4, 2\), expected \(T, B\) = \(6, 4\) or"),
        (np.ones((T, 1)), r"`dt` has shape \(6, 1\)"),
        (np.ones((T, B), "float32"), "`dt`"),
        ([[1.0]], "`dt` must be an array"),
    ],
)
def test_what_does_not_fit_is_refused(dt, sentence):
    net = xpbptt.CfC(I, H)
    params, x = net.init(0, dtype="float64"), np.ones((T, B, I))
    for call in (net.forward, net.infer):
        with pytest.raises((TypeError, ValueError), match=sentence):
            call(params, x, dt=dt)


def test_a_net_without_one_refuses_it():
    net = xpbptt.GRU(I, H)
    with pytest.raises(ValueError, match=r"`dt` is given, but GRU\(3, 5\) has no side input"):
        net.infer(net.init(0), np.ones((T, B, I), "float32"), dt=np.ones((T, B), "float32"))


def test_a_cell_that_returns_no_gradient_of_it_is_refused():
    wrong = TWO._replace(name="wrong", backward=lambda *a, **k: (*backward(*a, **k)[:3], None))
    net = xpbptt.Net(wrong, I, H)
    params, x, _, dt, _ = arrays(xpbptt.Net(TWO, I, H), np, 2)
    with pytest.raises(TypeError, match="must return `ddt` as a tuple of 2 arrays"):
        net.infer(params, x, dt=dt)


@pytest.mark.parametrize("both", [False, True])
def test_all_that_is_returned_is_in_the_byte_order_of_the_input(both):
    net, swapped = xpbptt.CfC(I, H, bidirectional=both), np.dtype("float64").newbyteorder()
    params = map_leaves(lambda p: p.astype(swapped), net.init(0, dtype="float64"))
    x, dt = np.ones((T, B, I), swapped), np.ones((T, B), swapped)
    y, state, cache = net.forward(params, x, dt=dt)
    returned = [y, state, tuple(net.backward(cache, y))[:4], net.infer(params, x, dt=dt)]
    if not both:
        returned.append(net.step(params, x[0], dt=dt[0]))
    for path, array in leaves(tuple(returned)):
        assert array.dtype == swapped, path
