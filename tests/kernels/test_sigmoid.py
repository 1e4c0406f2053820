"""`xpbptt.cells.sigmoid` in a compiled cell, against exact values."""

import math
from typing import NamedTuple

import numpy as np

import xpbptt
from xpbptt.cells import sigmoid


class One(NamedTuple):
    h: object


def forward(u, v, state, *, xp):
    return One(sigmoid(u.h + v.h, xp=xp)), ()


def backward(residuals, state, new, dnew, *, xp):
    dz = One(dnew.h * new.h * (1 - new.h))
    return dz, dz, One(None)


NET = xpbptt.Net(xpbptt.Cell("sigmoid", One, One, forward, backward), 1, 1)
SPECIAL = [math.inf, -math.inf, 0.0, -0.0, math.nan, 6e4, -6e4]
EDGE = {"float16": 18, "float32": 105, "float64": 747}  # where the result becomes zero


BATCH = 1000  # as many sequences at once as a GPU is best given


def outputs(xp, x):
    """Return the outputs of compiled steps whose weights make `x` the argument of the gate."""
    (params,) = NET.init(0, xp=xp, dtype=x.dtype)
    zero, one = xp.zeros_like(params.weight_ih), xp.ones_like(params.weight_ih)
    flat = xp.zeros_like(params.bias_ih)
    params = (params._replace(weight_ih=one, weight_hh=zero, bias_ih=flat, bias_hh=flat),)
    rows = np.reshape(x, (-1, min(BATCH, x.size), 1))
    return xp.reshape(NET.infer(params, xp.asarray(rows))[0], (-1,))


def test_the_error_is_at_most_four_units_in_the_last_place(xp, dtype, compiled, numbers):
    edge, random = EDGE[dtype], np.random.default_rng(0)
    wide = np.linspace(-edge, edge, 20_001)
    x = np.concatenate([wide, wide / 8, random.standard_normal(19_998)]).astype(dtype)
    (found,) = numbers(compiled(outputs, xp, x)).values()
    e = np.exp(-np.abs(x.astype(np.longdouble)))
    true = np.where(x < 0, e, 1) / (1 + e)
    error = np.abs(found - true) / np.spacing(true.astype(dtype))
    assert np.max(error) <= 4, x[np.argmax(error)]


def test_special_values(xp, dtype, compiled, numbers):
    x = np.repeat(np.asarray(SPECIAL, dtype), 8)
    (found,) = numbers(compiled(outputs, xp, x)).values()
    np.testing.assert_array_equal(found, np.repeat([1, 0, 0.5, 0.5, np.nan, 1, 0], 8))
