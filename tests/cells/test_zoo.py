"""Every built-in cell against its equations, written again for torch's autograd in float64.

The references are written from the papers' equations, not from the cells: each step takes what the
two products give, as tensors by gate, and autograd makes every gradient. Layers are normalised by
`torch.nn.functional.layer_norm`.
"""

import pickle

import numpy as np
import pytest
from helpers import cover

import xpbptt
from xpbptt._arrays.tree import leaves, map_leaves
from xpbptt.bptt import loop
from xpbptt.cells import (
    CFC,
    CIFG_LSTM,
    IND_RNN,
    LAYER_NORM_GRU,
    LAYER_NORM_LSTM,
    LIGHT_GRU,
    LRU,
    MGU,
    MIN_GRU,
    MIN_GRU_LINEAR,
    MIN_LSTM,
    PEEPHOLE_LSTM,
    SLSTM,
    SRU,
    make_leaky_esn,
)
from xpbptt.cells.lif import smoothed
from xpbptt.interop.torch import to_state_dict
from xpbptt.kernels import TARGETS
from xpbptt.testing import GradientError, check_gradients, laws

T, B, I, H = 6, 4, 3, 5


def peephole_lstm(torch, u, v, s, e):
    i = torch.sigmoid(u.i + v.i + e.p_i * s.c)
    f = torch.sigmoid(u.f + v.f + e.p_f * s.c)
    c = f * s.c + i * torch.tanh(u.g + v.g)
    o = torch.sigmoid(u.o + v.o + e.p_o * c)
    return o * torch.tanh(c), c


def cifg(torch, u, v, s, e):
    f = 1 - torch.sigmoid(u.i + v.i)
    c = f * s.c + (1 - f) * torch.tanh(u.g + v.g)
    return torch.sigmoid(u.o + v.o) * torch.tanh(c), c


def mgu(torch, u, v, s, e):
    f = torch.sigmoid(u.f + v.f)
    return ((1 - f) * s.h + f * torch.tanh(u.n + f * v.n),)


def light_gru(torch, u, v, s, e):
    z = torch.sigmoid(u.z + v.z)
    return (z * s.h + (1 - z) * torch.relu(u.n + v.n),)


def g(torch, x):
    """As in appendix B.2 of the paper on minGRU."""
    return torch.where(x >= 0, x + 0.5, torch.sigmoid(x))


def min_gru(torch, u, v, s, e):
    z = torch.sigmoid(u.z)
    return ((1 - z) * s.h + z * g(torch, u.n),)


def min_gru_linear(torch, u, v, s, e):
    z = torch.sigmoid(u.z)
    return ((1 - z) * s.h + z * u.n,)


def min_lstm(torch, u, v, s, e):
    f, i = torch.sigmoid(u.f), torch.sigmoid(u.i)
    return (f / (f + i) * s.h + i / (f + i) * g(torch, u.n),)


def ind_rnn(torch, u, v, s, e):
    return (torch.relu(u.a + e.w * s.h),)


def sru(torch, u, v, s, e):
    f = torch.sigmoid(u.f + e.v_f * s.c)
    r = torch.sigmoid(u.r + e.v_r * s.c)
    c = f * s.c + (1 - f) * u.x
    return r * c + (1 - r) * u.k, c


def esn(torch, u, v, s, e):
    return (0.7 * s.h + 0.3 * torch.tanh(u.a + v.a),)


def slstm(torch, u, v, s, e):
    """As `slstm_forward_pointwise` of NX-AI's xlstm, with its `all(n == 0)` element by element."""
    logfplusm = s.m + torch.nn.functional.logsigmoid(u.f + v.f)
    iraw = u.i + v.i
    mnew = torch.where(s.n == 0.0, iraw, torch.max(iraw, logfplusm))
    igate, fgate = torch.exp(iraw - mnew), torch.exp(logfplusm - mnew)
    cnew = fgate * s.c + igate * torch.tanh(u.z + v.z)
    nnew = fgate * s.n + igate
    return torch.sigmoid(u.o + v.o) * cnew / nnew, cnew, nnew, mnew


def lru(torch, u, v, s, e):
    eigenvalue = torch.exp(torch.complex(-torch.exp(e.nu), torch.exp(e.theta)))
    x = eigenvalue * torch.complex(s.re, s.im) + torch.exp(e.gamma) * torch.complex(u.re, u.im)
    return (torch.complex(e.c_re, e.c_im) * x).real, x.real, x.imag


def layer_norm(torch, blocks):
    whole = torch.cat(list(blocks), dim=-1)
    return torch.nn.functional.layer_norm(whole, whole.shape[-1:]).chunk(len(blocks), dim=-1)


def layer_norm_lstm(torch, u, v, s, e):
    a = [
        (1 + gain) * n + (1 + eta) * m + beta
        for n, m, gain, eta, beta in zip(
            *(layer_norm(torch, u), layer_norm(torch, v), e[:4], e[4:8], e[8:12]), strict=True
        )
    ]
    i, f, o = (torch.sigmoid(a[k]) for k in (0, 1, 3))
    c = f * s.c + i * torch.tanh(a[2])
    (normal,) = layer_norm(torch, [c])
    return o * torch.tanh((1 + e.gain_c) * normal + e.bias_c), c


def layer_norm_gru(torch, u, v, s, e):
    (u_r, u_z), (v_r, v_z) = layer_norm(torch, u[:2]), layer_norm(torch, v[:2])
    (u_n,), (v_n,) = layer_norm(torch, u[2:]), layer_norm(torch, v[2:])
    r = torch.sigmoid((1 + e.gain_u_r) * u_r + (1 + e.gain_v_r) * v_r + e.bias_r)
    z = torch.sigmoid((1 + e.gain_u_z) * u_z + (1 + e.gain_v_z) * v_z + e.bias_z)
    inner = (1 + e.gain_v_n) * v_n + e.bias_v_n
    n = torch.tanh((1 + e.gain_u_n) * u_n + e.bias_n + r * inner)
    return ((1 - z) * s.h + z * n,)


ZOO = [
    (PEEPHOLE_LSTM, peephole_lstm),
    (CIFG_LSTM, cifg),
    (MGU, mgu),
    (LIGHT_GRU, light_gru),
    (MIN_GRU, min_gru),
    (MIN_GRU_LINEAR, min_gru_linear),
    (MIN_LSTM, min_lstm),
    (IND_RNN, ind_rnn),
    (SRU, sru),
    (make_leaky_esn(0.3), esn),
    (SLSTM, slstm),
    (LRU, lru),
    (LAYER_NORM_LSTM, layer_norm_lstm),
    (LAYER_NORM_GRU, layer_norm_gru),
]
CELLS = pytest.mark.parametrize(("cell", "step"), ZOO, ids=[cell.name for cell, _ in ZOO])


def drawn(cell):
    """A net, and its arrays: weights that are not small, and a state in which n is not near 0."""
    net, random = xpbptt.Net(cell, I, H), np.random.default_rng(7)
    params = map_leaves(lambda p: 2 * p, net.init(3, dtype="float64"))
    x = random.standard_normal((T, B, I))
    parts = {name: random.standard_normal((B, H)) for name in cell.state._fields}
    if "n" in parts:
        parts["n"] = 1 + abs(parts["n"])
        parts["n"][0] = 0  # as in the first step
    state = (cell.state(**parts),)
    return net, params, x, state, random


@CELLS
def test_outputs_and_all_gradients_are_those_of_autograd(cell, step, torch, monkeypatch):
    """Compiled and eager."""
    net, params, x, state, random = drawn(cell)
    tensor = lambda a: torch.tensor(np.array(a), requires_grad=True)  # noqa: E731
    (p,), (s,), xs = map_leaves(tensor, params), map_leaves(tensor, state), tensor(x)
    outputs, now = [], s
    split = lambda block, gates: torch.split(block, H, dim=-1)  # noqa: E731
    places = [cell.gates._fields.index(k) for k in cell.recurrent or ()]
    for x_t in xs:
        u = cell.gates(*split(x_t @ p.weight_ih.T + p.bias_ih, cell.gates))
        v = None
        if cell.recurrent is None:
            v = cell.gates(*split(now[0] @ p.weight_hh.T + p.bias_hh, cell.gates))
        assert not places
        now = cell.state(*step(torch, u, v, now, p.extra))
        outputs.append(now[0])
    y = torch.stack(outputs)
    dy = random.standard_normal(tuple(y.shape))
    dstate = (cell.state(*(random.standard_normal((B, H)) for _ in now)),)
    torch.autograd.backward((y, *now), (torch.tensor(dy), *map(torch.tensor, dstate[0])))
    expected = {"params": (p,), "x": xs, "state": (s,)}
    for fuse, engine in (("1", "sequence"), ("0", "eager")):
        monkeypatch.setenv("XPBPTT_FUSE", fuse)
        found, final, cache = net.forward(params, x, state)
        grads = net.backward(cache, dy, dstate)
        names = loop.choose(cell, ("record",), params[0], x, xp=_namespace(x)).name
        assert names == engine or not _compiles()
        close("y", found, y)
        for path, array in leaves(final[0], "state"):
            close(path, array, getattr(now, path.partition(".")[2]))
        for name, tree in expected.items():
            theirs = leaves(tree, name)
            ours = leaves(getattr(grads, name), name)
            for (path, array), (_, leaf) in zip(ours, theirs, strict=True):
                wanted = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
                close(path, array, wanted)


def close(path, array, tensor):
    wanted = tensor.detach().numpy()
    assert array.shape == wanted.shape, path
    unit = max(1.0, np.max(np.abs(wanted)))
    np.testing.assert_allclose(array / unit, wanted / unit, rtol=0, atol=1e-11, err_msg=path)


def _namespace(x):
    import array_api_compat  # noqa: PLC0415

    return array_api_compat.array_namespace(x)


def _compiles():
    from importlib.util import find_spec  # noqa: PLC0415

    return find_spec("llvmlite") is not None


def test_a_neuron_fires_and_its_surrogate_is_the_derivative_of_its_smooth_forward(xp, normal):
    net = xpbptt.LIF(I, H, 2, beta=0.8, threshold=0.5, slope=3.0, bidirectional=True)
    params = map_leaves(lambda p: 3 * p, net.init(0, xp=xp, dtype=xp.float64))
    x = normal(T, B, I)
    y, _ = net.infer(params, x)
    assert bool(xp.all((y == 0) | (y == 1)))
    assert 0 < float(xp.mean(y)) < 1
    with pytest.raises(GradientError):
        check_gradients(net, params, x)
    assert check_gradients(net, params, x, smooth=smoothed(net.cell)).error < 1e-6
    with pytest.raises(TypeError, match="`smooth` is for a net of a Cell"):
        check_gradients(xpbptt.Linear(3, 2), params, x, smooth=smoothed(net.cell))


def test_a_neuron_step_by_step():
    """β = 0.5, ϑ = 1: written out by hand from equations (1) and (2)."""
    net = xpbptt.LIF(1, 1, beta=0.5, threshold=1.0)
    (weights,) = net.init(0, dtype="float64")
    weights = weights._replace(weight_ih=np.ones((1, 1)), bias_ih=np.zeros(1))
    x = np.array([0.75, 0.75, 0.75, 0.0]).reshape(4, 1, 1)
    y, state = net.infer((weights,), x)
    # m: 0.75, 1.125 (fires), 0.3125 after the reset, 0.15625
    assert y.ravel().tolist() == [0, 1, 0, 0]
    assert state[0].m.item() == 0.15625


MAKERS = {
    "PeepholeLSTM": PEEPHOLE_LSTM,
    "CIFG": CIFG_LSTM,
    "LayerNormLSTM": LAYER_NORM_LSTM,
    "LayerNormGRU": LAYER_NORM_GRU,
    "MGU": MGU,
    "LightGRU": LIGHT_GRU,
    "SLSTM": SLSTM,
    "MinGRU": MIN_GRU,
    "MinLSTM": MIN_LSTM,
    "IndRNN": IND_RNN,
    "SRU": SRU,
    "LRU": LRU,
    "LeakyESN": make_leaky_esn(0.3),
    "CfC": CFC,
}


@pytest.mark.parametrize(("name", "cell"), MAKERS.items(), ids=MAKERS)
def test_what_makes_a_net(name, cell, tmp_path):
    net = getattr(xpbptt, name)(3, 5, 2, bidirectional=True, dropout=0.25)
    assert net == xpbptt.Net(cell, 3, 5, 2, bidirectional=True, dropout=0.25)
    assert pickle.loads(pickle.dumps(net)) == net
    dt = {"dt": np.ones((2, 1), "float32")} if net.recurrence.side else {}
    _, state = net.infer(net.init(0), np.ones((2, 1, 3), "float32"), **dt)
    kept = {"params": net.init(0), "state": state}
    xpbptt.save(tmp_path / "kept", kept)
    found = xpbptt.load(tmp_path / "kept")
    for (path, one), (_, other) in zip(leaves(kept), leaves(found), strict=True):
        np.testing.assert_array_equal(one, other, err_msg=path)


EAGER_LAWS = [name for name in laws.LAWS if name not in {"engines", "mutants"}]


@cover(("cell", "law"), [cell for cell, _ in ZOO], EAGER_LAWS, strength=1)
def test_laws(cell, law, xp, monkeypatch):
    """On NumPy and CuPy eagerly: that the compiled cell is the same is shown above."""
    if xp.__name__ in TARGETS:
        monkeypatch.setenv("XPBPTT_FUSE", "0")
    laws.LAWS[law](cell, xp=xp)


UNLIKE = {  # the others: a side input, a surrogate gradient, parts of several widths, heads
    "CfC": xpbptt.CfC(3, 5, 2),
    "CfC both ways": xpbptt.CfC(3, 5, bidirectional=True),
    "LIF": xpbptt.LIF(3, 5, 2, slope=3.0),
    "LSTMP": xpbptt.LSTMP(3, 5, 2, proj_size=2),
    "heads": xpbptt.SLSTM(3, 6, 2, heads=2),
}


@cover(("name", "law"), list(UNLIKE), [*EAGER_LAWS, "engines"])
def test_laws_of_cells_unlike_the_others(name, law, xp):
    net, more = UNLIKE[name], {}
    if name == "LIF" and law in {"derivative", "resets"}:
        more["smooth"] = smoothed(net.cell)
    laws.LAWS[law](net, xp=xp, **more)


def test_the_weights_of_a_cell_without_a_product_have_no_place_in_torch():
    params = xpbptt.MinGRU(3, 5).init(0)
    with pytest.raises(ValueError, match=r"has no `weight_hh`, for which torch.nn has a place"):
        to_state_dict(params)


def test_what_makes_a_net_refuses():
    assert xpbptt.MinGRU(3, 5, positive=False).cell == MIN_GRU_LINEAR
    for make, sentence in (
        (lambda: xpbptt.MinGRU(3, 5, positive=1), "`positive` must be True or False"),
        (lambda: xpbptt.LeakyESN(3, 5, leak=0), "`leak` must be above 0 and at most 1, got 0"),
        (lambda: xpbptt.LIF(3, 5, beta="0.9"), "`beta` must be a number, got '0.9'"),
        (lambda: xpbptt.LIF(3, 5, slope=-1), "`slope` must be finite and at least 0, got -1"),
    ):
        with pytest.raises((TypeError, ValueError), match=sentence):
            make()
