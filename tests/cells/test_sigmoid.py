"""`sigmoid`, that of the cells and that of the notebook, on arrays of every library."""

import math

import array_api_compat
import numpy as np
import pytest
from helpers import host

from xpbptt import cells, notebook

EDGE = {"float16": 18, "float32": 105, "float64": 747}  # where the result becomes zero
DTYPES = ["float32", "float64"]
SPECIAL = [math.inf, -math.inf, 0.0, -0.0, math.nan, 1e4, -1e4]

pytestmark = pytest.mark.filterwarnings("error")


def sample(dtype):
    """Numbers of all sizes and both signs, the edges of the normal and of all numbers included."""
    random, edge = np.random.default_rng(0), EDGE[dtype]
    least = float(np.finfo(dtype).smallest_normal)
    tiny = np.exp(random.uniform(math.log(least), 0, 5_000))
    near = math.log(least) + random.uniform(-1, 1, 5_000)
    wide = random.uniform(-edge, edge, 50_000)
    return np.concatenate([tiny, -tiny, near, wide, wide / 40, wide / 8]).astype(dtype)


def exact(x):
    x = x.astype(np.longdouble)
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def assert_accurate(xp, found, x):
    true, dtype = exact(x), x.dtype
    unit = np.spacing(np.abs(true.astype(dtype)))
    normal = true >= np.finfo(dtype).smallest_normal
    if array_api_compat.is_jax_namespace(xp):  # it computes with zero for subnormal numbers
        assert np.all((found[~normal] == 0) | (np.abs(found - true) / unit <= 4)[~normal])
        found, true, unit = found[normal], true[normal], unit[normal]
    else:
        assert np.count_nonzero(~normal) > 100
    error = np.abs(found - true) / unit
    assert np.max(error) <= 4, x[np.argmax(error)]


@pytest.fixture(params=[cells.sigmoid, notebook.maths.sigmoid], ids=["cells", "notebook"])
def sigmoid(request):
    return request.param


@pytest.fixture(params=DTYPES)
def dtype(request):
    return request.param


def test_the_error_is_at_most_four_units_in_the_last_place(sigmoid, xp, dtype):
    x = sample(dtype)
    y = sigmoid(xp.asarray(x), xp=xp)
    assert y.dtype == getattr(xp, dtype)
    assert_accurate(xp, host(y), x)


def test_half_precision(sigmoid, xp, half):
    x = sample("float16")
    y = sigmoid(half(x), xp=xp)
    assert y.dtype == xp.float16
    assert_accurate(xp, host(y), x)


def test_special_values(sigmoid, xp, dtype):
    x = np.repeat(np.asarray(SPECIAL, dtype), 8)  # so many that vector instructions are used
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        found = sigmoid(xp.asarray(x), xp=xp)
    np.testing.assert_array_equal(host(found), np.repeat([1, 0, 0.5, 0.5, np.nan, 1, 0], 8))


def test_every_shape(sigmoid, xp):
    for shape in ((), (0,), (1,), (2, 0, 3), (2, 3, 5)):
        x = np.random.default_rng(0).standard_normal(shape).astype("float32")
        found = sigmoid(xp.asarray(x), xp=xp)
        np.testing.assert_allclose(host(found), exact(x).astype("float32"), rtol=1e-6, strict=True)


def test_the_argument_is_left_alone(sigmoid, xp, dtype):
    x = sample(dtype)[:1000]
    given = xp.asarray(x, copy=True)
    sigmoid(given, xp=xp)
    np.testing.assert_array_equal(host(given), x)


def test_the_complex_step_gives_the_derivative(sigmoid, xp):
    """To rounding, however small it is."""
    x = np.concatenate([np.linspace(-600, 600, 2001), [0.0, -0.0]])
    moved = sigmoid(xp.asarray(x + 1e-30j), xp=xp)
    assert moved.dtype == xp.complex128
    y = exact(x)
    np.testing.assert_allclose(host(moved).real, y.astype(float), rtol=1e-15)
    derivative = (y * exact(-x)).astype(float)
    np.testing.assert_allclose(host(moved).imag / 1e-30, derivative, rtol=2e-15)
    far = sigmoid(xp.asarray(np.array([-1e4, 1e4]) + 1e-30j), xp=xp)
    np.testing.assert_array_equal(host(far), [0, 1])


AROUND_ZERO = np.array([-50.0, -1.0, -0.0, 0.0, 1.0, 30.0])  # where the parts have a kink
DERIVATIVE = (exact(AROUND_ZERO) * exact(-AROUND_ZERO)).astype(float)


def test_torch_can_differentiate_it(sigmoid, torch):
    from array_api_compat import torch as xp  # noqa: PLC0415

    x = torch.tensor(AROUND_ZERO, requires_grad=True)
    sigmoid(x, xp=xp).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), DERIVATIVE, rtol=1e-14)


def test_jax_can_differentiate_it(sigmoid, jax):
    derivative = jax.vmap(jax.grad(lambda x: sigmoid(x, xp=jax.numpy)))
    np.testing.assert_allclose(derivative(AROUND_ZERO), DERIVATIVE, rtol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_jax_can_compile_it(sigmoid, jax, dtype):
    x = jax.numpy.asarray([-30.0, -2.0, 0.0, 3.0], dtype=dtype)
    with jax.numpy_dtype_promotion("strict"):
        found = jax.jit(lambda x: sigmoid(x, xp=jax.numpy))(x)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, sigmoid(x, xp=jax.numpy), rtol=1e-6)
