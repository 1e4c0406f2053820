"""Elementary functions of the kernels for the CPU, in units in the last place."""

import math
from functools import cache

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="compiles with llvmlite, which is not installed")

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


@cache
def compiled(name, dtype):
    """A compiled loop over the vectors of an array, and the numbers of a vector."""
    from xpbptt.kernels.llvm import build, library, machine, vectors  # noqa: PLC0415
    from xpbptt.kernels.llvm.code import Code  # noqa: PLC0415

    vector = vectors.vector(dtype, machine.features())
    code = Code("run", ("ptr %frame",), "")
    x, y = (code.load("ptr", code.at("i64", "%frame", k)) for k in (0, 1))
    with code.loop(0, code.load("i64", code.at("i64", "%frame", 2)), vector.lanes) as i:
        value = vector.load(code, code.at(vector.number, x, i))
        found = code.let(f"call {vector.type} @vector_{name}({vector.type} {value})")
        vector.store(code, found, code.at(vector.number, y, i))
    return build.load(f"{library.library(vector)}\n{code.text()}"), vector.lanes


def mapped(name, x):
    run, lanes = compiled(name, str(x.dtype))
    whole = np.zeros(-(-x.size // lanes) * lanes, dtype=x.dtype)
    whole[: x.size] = x
    y = np.empty_like(whole)
    frame = np.array([whole.ctypes.data, y.ctypes.data, whole.size])
    run(frame.ctypes.data)
    return y[: x.size]


def sigmoid(x):
    return np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))


EXACT = {"tanh": np.tanh, "exp": np.exp, "sigmoid": sigmoid}
EXACT |= {name: getattr(np, name) for name in ("expm1", "log", "log1p", "sin", "cos")}
FUNCTIONS = pytest.mark.parametrize(("name", "exact"), EXACT.items(), ids=EXACT)


def units(y, true):
    """Return the largest error, in units in the last place."""
    return np.max(np.abs(y - true) / np.spacing(np.abs(true.astype(y.dtype))))


@DTYPES
@FUNCTIONS
def test_the_error_is_at_most_three_units_in_the_last_place(name, exact, dtype):
    random = np.random.default_rng(0)
    scales = (1e-20, 1e-4, 0.01, 0.1, 1, 3, 10, 30)
    x = np.concatenate([random.standard_normal(50_000) * scale for scale in scales]).astype(dtype)
    x = np.clip(x, -80, 80)  # beyond, float32 has no normal numbers for exp
    if name.startswith("log"):
        x = np.abs(x) if name == "log" else np.maximum(x, np.nextafter(np.array(-1, dtype), 0))
    assert units(mapped(name, x), exact(x.astype(np.longdouble))) <= 3


@DTYPES
def test_special_values(dtype):
    small, largest = np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max
    special = [math.inf, -math.inf, 0, -0.0, small, -small, 1e-40, 1e4, -1e4, largest, -largest]
    x = np.array(special, dtype=dtype)
    for name, exact in EXACT.items():
        with np.errstate(all="ignore"):
            expected = exact(x)
        np.testing.assert_allclose(mapped(name, x), expected, rtol=1e-6)
        assert np.all(np.isnan(mapped(name, np.array([math.nan, -math.nan], dtype=dtype))))
    np.testing.assert_array_equal(mapped("tanh", x[2:7]), x[2:7])


@DTYPES
@pytest.mark.parametrize("name", ["exp", "sigmoid"])
def test_results_that_are_not_normal(name, dtype):
    limits = np.finfo(dtype)
    first, last = math.log(limits.smallest_normal), math.log(limits.smallest_subnormal)
    x = np.linspace(first + 2, last - 2, 50_000).astype(dtype)
    y = mapped(name, x)
    assert units(y, EXACT[name](x.astype(np.longdouble))) <= 3
    assert y[0] > limits.smallest_normal
    assert 0 < y[len(y) // 2] < limits.smallest_normal
    assert y[-1] == 0


@DTYPES
def test_exp_is_infinite_only_beyond_the_largest_number(dtype):
    edge = math.log(np.finfo(dtype).max)
    near = np.linspace(edge - 1, edge * (1 - 2 * np.finfo(dtype).eps), 10_000).astype(dtype)
    assert units(mapped("exp", near), np.exp(near.astype(np.longdouble))) <= 3
    assert np.all(mapped("exp", np.linspace(edge + 1, 9 * edge, 100).astype(dtype)) == math.inf)


@DTYPES
@pytest.mark.parametrize("name", ["log", "log1p", "sin", "cos", "expm1"])
def test_the_whole_range(name, dtype):
    """From the smallest subnormal number to the largest, on both sides of every constant."""
    limits, random = np.finfo(dtype), np.random.default_rng(1)
    exponents = random.uniform(np.log2(limits.smallest_subnormal) - 1, limits.maxexp, 50_000)
    x = np.exp2(exponents.astype(np.longdouble)).astype(dtype)
    edges = [k * np.pi / 4 for k in range(1, 2000)] + [2.0**k for k in range(-30, 100)]
    near = np.array(edges, dtype=dtype)
    x = np.concatenate([x, near, np.nextafter(near, 0, dtype=dtype), 1 + near * limits.eps])
    x = x[np.isfinite(x)].astype(dtype)
    if name in {"sin", "cos", "expm1"}:
        x = np.concatenate([x, -x])
    with np.errstate(all="ignore"):
        exact = EXACT[name](x.astype(np.longdouble))
        there = np.isfinite(exact.astype(dtype))
    assert units(mapped(name, x)[there], exact[there]) <= 3
    np.testing.assert_array_equal(mapped(name, x)[~there], np.inf)
