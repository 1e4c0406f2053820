"""JAX: no promotion but what is written, and cells that compile."""

import numpy as np
import pytest

import xpbptt
from xpbptt import cells
from xpbptt._arrays.tree import map_leaves

B, I, H = 4, 3, 2
CELLS = {"rnn": cells.RNN_TANH, "rnn-relu": cells.RNN_RELU, "lstm": cells.LSTM, "gru": cells.GRU}
DTYPES = ("float32", "float64")


@pytest.fixture(autouse=True)
def strict_promotion(jax):
    with jax.numpy_dtype_promotion("strict"):
        yield


@pytest.fixture
def make(jax):
    return jax.numpy.asarray


def test_every_call_runs_without_promotion(call, make, assert_same_on_numpy):
    assert_same_on_numpy(call(make), call, np.asarray)


def test_a_promotion_is_seen(jax, make):
    def forward(u, v, state, *, xp):
        return cells.LSTM.forward(u, v, map_leaves(xp.float32, state), xp=xp)

    net = xpbptt.Net(cells.LSTM._replace(forward=forward), I, H)
    params = net.init(0, xp=jax.numpy, dtype="float64")
    with pytest.raises(ValueError, match="no available implicit dtype promotion"):
        net.infer(params, make(np.ones((1, B, I))))


def assert_equal(found, expected, dtype):
    tolerance = {"float32": 1e-6, "float64": 1e-14}[dtype]

    def check(a, b):
        assert a.dtype == b.dtype == dtype
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)

    map_leaves(check, found, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CELLS)
def test_a_cell_compiles(jax, name, dtype):
    cell, xp, draw = CELLS[name], jax.numpy, np.random.default_rng(0).standard_normal

    def tree(kind):
        return kind(*(xp.asarray(draw((B, H)), dtype=dtype) for _ in kind._fields))

    def forward(u, v, state):
        return cell.forward(u, v, state, xp=xp)

    def backward(residuals, state, new, dnew):
        return cell.backward(residuals, state, new, dnew, xp=xp)

    u, v, state, dnew = map(tree, (cell.gates, cell.gates, cell.state, cell.state))
    new, residuals = forward(u, v, state)
    assert_equal(jax.jit(forward)(u, v, state), (new, residuals), dtype)
    arguments = residuals, state, new, dnew
    assert_equal(jax.jit(backward)(*arguments), backward(*arguments), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("make_net", [xpbptt.RNN, xpbptt.LSTM, xpbptt.GRU])
def test_a_step_compiles(jax, make_net, dtype):
    net = make_net(I, H, 2)
    params = net.init(0, xp=jax.numpy, dtype=dtype)
    step = jax.jit(net.step)
    state = expected_state = None
    for x in np.random.default_rng(0).standard_normal((3, B, I)):
        x_t = jax.numpy.asarray(x, dtype=dtype)
        y, state = step(params, x_t, state)
        expected, expected_state = net.step(params, x_t, expected_state)
        assert_equal((y, state), (expected, expected_state), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_cell_of_ones_own_is_checked_while_its_step_compiles(jax, dtype):
    own = cells.LSTM._replace(name="own")
    net, lstm = xpbptt.Net(own, I, H), xpbptt.LSTM(I, H)
    params, x = net.init(0, xp=jax.numpy, dtype=dtype), jax.numpy.ones((B, I), dtype=dtype)
    assert_equal(jax.jit(net.step)(params, x), lstm.step(params, x), dtype)

    def forward(u, v, state, *, xp):
        new, residuals = cells.LSTM.forward(u, v, state, xp=xp)
        return new, residuals.i

    wrong = xpbptt.Net(own._replace(forward=forward), I, H)
    with pytest.raises(TypeError, match="`forward` of the cell own must return `residuals` as a"):
        jax.jit(wrong.step)(params, x)
