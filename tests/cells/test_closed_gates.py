"""Gates that are nearly closed: float32 keeps their gradients, to the rounding of its numbers."""

from typing import NamedTuple

import array_api_compat
import numpy as np
import pytest
from helpers import host

import xpbptt
from xpbptt import notebook
from xpbptt._arrays.tree import map_leaves
from xpbptt.cells import GRU, LSTM, sigmoid
from xpbptt.interop.torch import to_state_dict

BIASES = [-8, -12, -16, -20, -30, -80]  # one for each unit of the gate
T, B, I, H = 7, 4, 3, len(BIASES)


class Gates(NamedTuple):
    f: object
    n: object


class State(NamedTuple):
    h: object


def mgu_forward(u, v, state, *, xp):
    f = sigmoid(u.f + v.f, xp=xp)
    n = xp.tanh(u.n + f * v.n)
    return State(state.h + f * (n - state.h)), (f, n, v.n)


def mgu_backward(residuals, state, new, dnew, *, xp):
    f, n, v_n = residuals
    dn = dnew.h * f * (1 - n * n)
    df = (dnew.h * (n - state.h) + dn * v_n) * f * (1 - f)
    return Gates(df, dn), Gates(df, dn * f), State(dnew.h * (1 - f))


MGU = xpbptt.Cell("MGU", Gates, State, mgu_forward, mgu_backward)  # a user's, as in the README
CLOSED = [(LSTM, "i"), (LSTM, "f"), (LSTM, "o"), (GRU, "r"), (GRU, "z"), (MGU, "f")]


def assert_close(found, expected, relative, absolute=0):
    """Compare the gradients of a weight and a bias, row by row, relative to the largest element."""
    found, expected = (
        np.concatenate([w, np.reshape(b, (H, 1))], axis=1).astype("float64")
        for w, b in (found, expected)
    )
    scale = np.max(np.abs(expected), axis=1)
    assert np.all(scale > 0)
    error = np.max(np.abs(found - expected), axis=1)
    assert np.all(error <= relative * scale + absolute), error / scale


# Of sums of products, and of exp(bias), whose argument is rounded.
SINGLE = 2e-6 + np.abs(BIASES) * np.finfo("float32").eps


@pytest.fixture(params=["compiled", "eager"])
def way(request, monkeypatch, xp):
    """Compile cells or do not."""
    compiles = array_api_compat.is_numpy_namespace(xp) or array_api_compat.is_cupy_namespace(xp)
    if request.param == "compiled" and not compiles:
        pytest.skip("cells are compiled for NumPy and CuPy only")
    monkeypatch.setenv("XPBPTT_FUSE", "0" if request.param == "eager" else "1")


@pytest.fixture
def absolute(xp):
    """The error of a sum whose terms are 0 where they should be subnormal, as JAX has it."""
    jax = array_api_compat.is_jax_namespace(xp)
    return T * B * float(np.finfo("float32").smallest_normal) if jax else 0


def drawn(net, rows):
    """Return float32 numbers: parameters with a gate nearly closed, input, state, dy."""
    random = np.random.default_rng(4)
    draw = lambda *shape: random.standard_normal(shape).astype("float32")  # noqa: E731
    (params,) = net.init(1, dtype="float32")
    params.bias_ih[rows] = BIASES
    params.bias_hh[rows] = 0
    state = net.cell.state(*(draw(B, H) for _ in net.cell.state._fields))
    return (params,), draw(T, B, I), (state,), draw(T, B, H)


def gradients(xp, net, arrays, rows, dtype):
    """Return the gradients of some rows of the first product's weight and bias, on the host."""
    params, x, state, dy = map_leaves(lambda a: xp.asarray(a.astype(dtype)), arrays)
    _, _, cache = net.forward(params, x, state)
    (grads,) = net.backward(cache, dy).params
    return host(grads.weight_ih)[rows], host(grads.bias_ih)[rows]


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(("cell", "gate"), CLOSED, ids=lambda p: getattr(p, "name", p))
def test_the_gradient_of_a_gate_in_float32_is_that_in_float64(xp, absolute, cell, gate):
    net, k = xpbptt.Net(cell, I, H), cell.gates._fields.index(gate)
    rows = slice(k * H, (k + 1) * H)
    arrays = drawn(net, rows)
    found, expected = (gradients(xp, net, arrays, rows, dtype) for dtype in ("float32", "float64"))
    assert_close(found, expected, SINGLE, absolute)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(("cell", "gate"), CLOSED[:-1], ids=lambda p: getattr(p, "name", p))
def test_the_gradient_of_a_gate_is_that_of_torch(torch, xp, absolute, cell, gate):
    net, k = xpbptt.Net(cell, I, H), cell.gates._fields.index(gate)
    rows = slice(k * H, (k + 1) * H)
    arrays = params, x, state, dy = drawn(net, rows)
    module = getattr(torch.nn, cell.name)(I, H, dtype=torch.float64)
    tensor = lambda array: torch.asarray(array.astype("float64"))  # noqa: E731
    module.load_state_dict({key: tensor(a) for key, a in to_state_dict(params).items()})
    before = tuple(tensor(part)[None] for part in state[0])
    y, _ = module(tensor(x), before if len(before) > 1 else before[0])
    y.backward(tensor(dy))
    theirs = [p.grad.numpy()[rows] for p in (module.weight_ih_l0, module.bias_ih_l0)]
    for dtype, *tolerance in (("float32", SINGLE, absolute), ("float64", 1e-13)):
        assert_close(gradients(xp, net, arrays, rows, dtype), theirs, *tolerance)


@pytest.mark.parametrize("gate", "ifo")
def test_the_notebook_keeps_it_too(xp, absolute, gate):
    random = np.random.default_rng(4)
    draw = lambda *shape: random.standard_normal(shape).astype("float32") / 2  # noqa: E731
    parameters = {f"W{g}": draw(H, H + I) for g in "fico"} | {"Wy": draw(2, H), "by": draw(2, 1)}
    parameters |= {f"b{g}": draw(H, 1) for g in "fico"}
    parameters[f"b{gate}"] = np.asarray(BIASES, "float32")[:, None]
    arrays = parameters, draw(I, B, T), draw(H, B), draw(H, B, T)

    def found(dtype):
        here, x, a0, da = map_leaves(lambda a: xp.asarray(a.astype(dtype)), arrays)
        *_, caches = notebook.lstm_forward(x, a0, here)
        grads = notebook.lstm_backward(da, caches)
        return host(grads[f"dW{gate}"]), host(grads[f"db{gate}"])

    assert_close(found("float32"), found("float64"), SINGLE, absolute)
