"""Cells to compile, and checks of whether a run was compiled or eager."""

from importlib.util import find_spec
from types import SimpleNamespace
from typing import NamedTuple

import array_api_compat
import numpy as np
import pytest
from helpers import host

import xpbptt
from xpbptt._arrays.tree import leaves, map_leaves
from xpbptt.bptt import Recurrence, loop
from xpbptt.cells import GRU, LSTM, RNN_RELU, RNN_TANH, sigmoid

T, B, I, H = 6, 4, 3, 5


class Pair(NamedTuple):
    a: object
    b: object


class One(NamedTuple):
    h: object


class Two(NamedTuple):
    """The second name is also that of the number of the step."""

    h: object
    t: object


def mgu_forward(u, v, state, *, xp):
    """The minimal gated unit of the README: du is not dv, and the output has a way of its own."""
    f = sigmoid(u.a + v.a, xp=xp)
    n = xp.tanh(u.b + f * v.b)
    return One(state.h + f * (n - state.h)), (f, n, v.b)


def mgu_backward(residuals, state, new, dnew, *, xp):
    f, n, v_n = residuals
    dn = dnew.h * f * (1 - n * n)
    df = (dnew.h * (n - state.h) + dn * v_n) * f * (1 - f)
    return Pair(df, dn), Pair(df, dn * f), One(dnew.h * (1 - f))


class Own(NamedTuple):
    decay: object
    scale: object


def own_forward(u, v, state, *, extra, xp):
    """Parameters of its own, (H,) each."""
    t = sigmoid(extra.decay, xp=xp) * state.t + xp.tanh(u.a + v.a)
    o = sigmoid(u.b + v.b + extra.scale * t, xp=xp)
    return Two(o * t, t), (o,)


def own_backward(residuals, state, new, dnew, *, extra, xp):
    (o,) = residuals
    decay = sigmoid(extra.decay, xp=xp)
    do = dnew.h * new.t * o * (1 - o)
    dt = dnew.t + dnew.h * o + do * extra.scale
    inner = new.t - decay * state.t
    da = dt * (1 - inner * inner)
    dz = Pair(da, do)
    dextra = Own(dt * state.t * decay * (1 - decay), do * new.t)
    return dz, dz, Two(None, dt * decay), dextra


def every_forward(u, v, state, *, xp):
    """Every function and operator that can be compiled; one residual is a truth value."""
    a = u.a + v.a
    inside = (a > -1) & ~(a >= 2) | (a != a)  # noqa: PLR0124 - of NaN
    soft = a / (1 + xp.abs(a))
    bell = a / xp.sqrt(a**2 + 1) * xp.exp(-(a**2))
    clipped = xp.minimum(xp.maximum(v.b, -0.5), 0.5)
    h = xp.where(inside, soft, bell) + u.b * clipped
    return One(xp.tanh(h) + xp.zeros_like(h)), (a, inside, u.b, v.b)


def every_backward(residuals, state, new, dnew, *, xp):
    a, inside, u_b, v_b = residuals
    dh = dnew.h * (xp.ones_like(new.h) - new.h * new.h)
    root = xp.sqrt(a * a + 1)
    bell = xp.exp(-(a * a))
    outside = bell / (root * root * root) - 2 * a * a / root * bell
    da = dh * xp.where(inside, 1 / (1 + abs(a)) ** 2, outside)
    within = (v_b > -0.5) & (v_b < 0.5)
    clipped = xp.where(v_b <= -0.5, -0.5, xp.where(v_b >= 0.5, 0.5, v_b))
    dv_b = xp.where(within, dh * u_b, xp.zeros_like(dh))
    return Pair(da, dh * clipped), Pair(da, +dv_b), One(None)


def more_forward(u, v, state, *, xp):
    """Every other function: transcendental ones, powers and steps."""
    a, b = u.a + v.a, u.b + v.b
    s = xp.square(a) + 0.5
    first = xp.log(s) + xp.log1p(s) - xp.expm1(-s) + xp.reciprocal(s)
    waves = xp.sin(3 * b) * xp.cos(a) + xp.clip(b, -0.75, 0.75) + 0.25 * xp.floor(4 * b)
    h = xp.tanh(0.5 * first + waves + xp.sign(a) * (s**1.5 + s**-2 + s**0.3 + xp.pow(s, 2)) / 8)
    return One(h), (a, b)


def more_backward(residuals, state, new, dnew, *, xp):
    a, b = residuals
    dz = dnew.h * (1 - new.h * new.h)
    s = xp.square(a) + 0.5
    dfirst = 1 / s + 1 / (1 + s) + xp.exp(-s) - 1 / xp.square(s)
    dpower = 1.5 * s**0.5 - 2 * s**-3 + 0.3 * s**-0.7 + 2 * s
    da = 2 * a * (0.5 * dfirst + xp.sign(a) * dpower / 8) - xp.sin(3 * b) * xp.sin(a)
    inside = xp.where(abs(b) < 0.75, 1.0, xp.zeros_like(b))
    db = 3 * xp.cos(3 * b) * xp.cos(a) + inside
    dgates = Pair(dz * da, dz * db)
    return dgates, dgates, One(None)


def bare_forward(u, v, state, *, xp):
    """No residuals, two gates of which one is not used, a way past the product, two states."""
    t = 0.5 * (state.t + xp.tanh(u.b + v.b))
    return Two(t - 0.5 * state.h, t), ()


def bare_backward(residuals, state, new, dnew, *, xp):
    inner = 2 * new.t - state.t
    dt = dnew.h + dnew.t
    dz = Pair(xp.zeros_like(dt), 0.5 * dt * (1 - inner * inner))
    return dz, dz, Two(-0.5 * dnew.h, 0.5 * dt)


def free_forward(u, v, state, *, xp):
    """No gate has a product: minGRU, with a way from the state to the output."""
    z, n = sigmoid(u.a, xp=xp), xp.tanh(u.b)
    return One(state.h + z * (n - state.h)), (z, n)


def free_backward(residuals, state, new, dnew, *, xp):
    z, n = residuals
    du = Pair(dnew.h * (n - state.h) * z * (1 - z), dnew.h * z * (1 - n * n))
    return du, None, One(dnew.h * (1 - z))


class Norms(NamedTuple):
    """Of every shape that broadcasts."""

    gain: object
    shift: object
    scale: object
    row: object


def norm_forward(u, v, state, *, extra, xp):
    """A layer normalised, and a softmax over the units: sums, means and the largest value."""
    a, b = u.a + v.a, u.b + v.b
    centred = a - xp.mean(a, axis=-1, keepdims=True)
    root = xp.sqrt(xp.mean(centred * centred, axis=-1, keepdims=True) + 1e-3)
    n = centred / root
    top = xp.exp(b - xp.max(b, axis=-1, keepdims=True))
    share = top / xp.sum(top, axis=-1, keepdims=True)
    t = xp.tanh(extra.gain * n + extra.shift)
    return One(t + extra.scale * share * state.h + extra.row), (n, root, share, t)


def norm_backward(residuals, state, new, dnew, *, extra, xp):
    n, root, share, t = residuals
    dz = dnew.h * (1 - t * t)
    dn = dz * extra.gain
    mean = xp.mean(dn, axis=-1, keepdims=True)
    da = (dn - mean - n * xp.mean(dn * n, axis=-1, keepdims=True)) / root
    dshare = dnew.h * extra.scale * state.h
    db = share * (dshare - xp.sum(dshare * share, axis=-1, keepdims=True))
    du = Pair(da, db)
    dscale = xp.sum(dnew.h * share * state.h, axis=-1)
    dextra = Norms(dz * n, xp.sum(dz, axis=-1, keepdims=True), dscale, dnew.h[:, None, :])
    return du, du, One(dnew.h * extra.scale * share), dextra


class Three(NamedTuple):
    a: object
    b: object
    c: object


def some_forward(u, v, state, *, extra, xp):
    """The first and the last of three gates have a product, which reads the second part."""
    a, b, c = sigmoid(u.a + v.a, xp=xp), xp.tanh(u.b), u.c + v.c
    t = a * state.t + extra.scale * b * c
    return Two(xp.tanh(t) + 0.25 * state.h, t), (a, b, c)


def some_backward(residuals, state, new, dnew, *, extra, xp):
    a, b, c = residuals
    tanh_t = xp.tanh(new.t)
    dt = dnew.t + dnew.h * (1 - tanh_t * tanh_t)
    scaled = dt * extra.scale
    du = Three(dt * state.t * a * (1 - a), scaled * c * (1 - b * b), scaled * b)
    return du, du, Two(0.25 * dnew.h, dt * a), Own(0 * dt, dt * b * c)


CELLS = {
    "rnn-tanh": RNN_TANH,
    "rnn-relu": RNN_RELU,
    "lstm": LSTM,
    "gru": GRU,
    "mgu": xpbptt.Cell("MGU", Pair, One, mgu_forward, mgu_backward),
    "own": xpbptt.Cell(
        "own", Pair, Two, own_forward, own_backward, extra=lambda H: Own((H,), (H,))
    ),
    "every": xpbptt.Cell("3rd, every", Pair, One, every_forward, every_backward),
    "more": xpbptt.Cell("more", Pair, One, more_forward, more_backward),
    "norm": xpbptt.Cell(
        *("norm", Pair, One, norm_forward, norm_backward),
        extra=lambda H: Norms((H,), (1,), (), (1, H)),
    ),
    "bare": xpbptt.Cell("bare", Pair, Two, bare_forward, bare_backward),
    "free": xpbptt.Cell("free", Pair, One, free_forward, free_backward, recurrent=()),
    "some": xpbptt.Cell(
        *("some", Three, Two, some_forward, some_backward),
        extra=lambda H: Own((H,), (H,)),
        recurrent=("c", "a"),
        reads="t",
    ),
}


@pytest.fixture(params=CELLS)
def cell(request):
    return CELLS[request.param]


@pytest.fixture(scope="session")
def cells():
    return CELLS


@pytest.fixture(scope="session")
def compiler(xp):
    """The target for `xp`, or skip."""
    if array_api_compat.is_cupy_namespace(xp):
        from xpbptt.kernels.cuda.target import TARGET  # noqa: PLC0415

        return TARGET
    if not array_api_compat.is_numpy_namespace(xp):
        pytest.skip("cells are compiled for NumPy and CuPy only")
    if not find_spec("llvmlite"):
        pytest.skip("NumPy's cells are compiled by llvmlite, which is not installed")
    from xpbptt.kernels.llvm.target import TARGET  # noqa: PLC0415

    return TARGET


@pytest.fixture(params=["float16", "float32", "float64"])
def dtype(request, compiler):
    if np.dtype(request.param) not in compiler.dtypes:
        pytest.skip(f"{request.param} is not compiled for NumPy")
    return request.param


@pytest.fixture
def compiled(monkeypatch, compiler, caplog):
    """Call a function with kernels, and without only where none can be: see `choose`."""

    def choose(cell, kinds, params, x, **options):
        engine = real(cell, kinds, params, x, **options)
        eager = isinstance(cell, Recurrence) or 0 in x.shape or params.weight_ih.dtype.kind == "c"
        assert engine.name == ("eager" if eager else compiler.loops[0].name), engine.reason
        chosen.append(engine.name)
        return engine

    def call(function, *arguments, **options):
        with monkeypatch.context() as patch:
            patch.delenv("XPBPTT_FUSE", raising=False)
            patch.setattr(loop, "choose", choose)
            result = function(*arguments, **options)
        assert compiler.loops[0].name in chosen
        told = [r for r in caplog.records if r.name != "xpbptt" or "budget is met" not in r.msg]
        assert not told
        return result

    chosen = []
    real = loop.choose
    return call


@pytest.fixture
def eagerly(monkeypatch):
    """Call a function without kernels."""

    def call(function, *arguments, **options):
        with monkeypatch.context() as patch:
            patch.setenv("XPBPTT_FUSE", "0")
            return function(*arguments, **options)

    return call


@pytest.fixture
def make(xp):
    """Make what a net takes: parameters, input, state, mask and gradients of all outputs."""

    def make(net, dtype="float64", steps=T, batch=B):
        random = np.random.default_rng(8)
        here = lambda a: xp.asarray(a if a.dtype == bool else a.astype(dtype))  # noqa: E731
        draw = lambda like: random.standard_normal(like.shape)  # noqa: E731
        params = map_leaves(lambda p: 3 * p, net.init(1, dtype="float64"))  # gates that saturate
        x = random.standard_normal((steps, batch, net.input_size))
        y, state = net.infer(params, x)
        mask = random.random((steps, batch)) < 0.7
        mask[:, -1] = False
        tree = {
            "params": params,
            "x": x,
            "state": map_leaves(draw, state),
            "mask": mask,
            "dy": draw(y),
            "dstate": map_leaves(draw, state),
        }
        return SimpleNamespace(net=net, **map_leaves(here, tree))

    return make


@pytest.fixture(scope="session")
def numbers():
    """List the arrays of a tree by the expressions that reach them, as NumPy's."""
    return lambda tree: {path: host(leaf) for path, leaf in leaves(tree)}


TOLERANCE = {"float16": 2e-2, "float32": 1e-5, "float64": 1e-14}


@pytest.fixture
def assert_same(numbers):
    """Compare two trees; within rounding of `dtype`, or bit for bit without one."""

    def check(actual, expected, dtype=None):
        found, wanted = numbers(actual), numbers(expected)
        assert found.keys() == wanted.keys()
        for path, array in found.items():
            assert (array.dtype, array.shape) == (wanted[path].dtype, wanted[path].shape), path
            if dtype is None:
                assert array.tobytes() == wanted[path].tobytes(), path
            else:
                # Relative to the largest element: a sum is as exact as its largest term.
                unit = max(1, np.max(np.abs(wanted[path]), initial=0))
                np.testing.assert_allclose(
                    array / unit, wanted[path] / unit, rtol=0, atol=TOLERANCE[dtype], err_msg=path
                )

    return check
