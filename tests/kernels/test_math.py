"""tanh, exp and sigmoid of the kernels for the CPU, in units in the last place."""

import math

import numpy as np
import pytest

numba = pytest.importorskip("numba", reason="compiles with Numba, which is not installed")


def mapped(name, dtype):
    from xpbptt.kernels.numba import math as cpu_math  # noqa: PLC0415

    function = cpu_math.functions(dtype)[name]

    @numba.njit(**cpu_math.OPTIONS)
    def fill(x, y):
        for i in range(x.shape[0]):
            y[i] = function(x[i])

    def call(x):
        y = np.empty_like(x)
        fill(x, y)
        return y

    return call


def sigmoid(x):
    return np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))


EXACT = {"tanh": np.tanh, "exp": np.exp, "sigmoid": sigmoid}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "exact"), EXACT.items(), ids=EXACT)
def test_the_error_is_at_most_three_units_in_the_last_place(name, exact, dtype):
    random = np.random.default_rng(0)
    scales = (1e-20, 1e-4, 0.01, 0.1, 1, 3, 10, 30)
    x = np.concatenate([random.standard_normal(50_000) * scale for scale in scales]).astype(dtype)
    x = np.clip(x, -80, 80)  # beyond, float32 has no normal numbers for exp
    y, true = mapped(name, dtype)(x), exact(x.astype(np.longdouble))
    unit = np.spacing(np.abs(true.astype(dtype)))
    assert np.max(np.abs(y - true) / unit) <= 3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_special_values(dtype):
    special = np.array([math.inf, -math.inf, 0, 1e-40, 1e4, -1e4], dtype=dtype)
    for name, exact in EXACT.items():
        with np.errstate(over="ignore", under="ignore"):
            expected = exact(special)
        np.testing.assert_allclose(mapped(name, dtype)(special), expected, rtol=1e-6)
        assert np.isnan(mapped(name, dtype)(np.array([math.nan], dtype=dtype)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_results_of_sigmoid_that_are_not_normal(dtype):
    limits = np.finfo(dtype)
    first, last = math.log(limits.smallest_normal), math.log(limits.smallest_subnormal)
    x = np.linspace(first + 2, last - 2, 50_000).astype(dtype)
    y, true = mapped("sigmoid", dtype)(x), sigmoid(x.astype(np.longdouble))
    unit = np.spacing(true.astype(dtype))
    assert np.max(np.abs(y - true) / unit) <= 3
    assert y[0] > limits.smallest_normal
    assert 0 < y[len(y) // 2] < limits.smallest_normal
    assert y[-1] == 0
