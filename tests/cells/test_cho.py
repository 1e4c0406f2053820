"""The GRU with the reset before the product, against the equations of the paper in plain loops."""

import math

import numpy as np
import pytest

import xpbptt

T, B, I, H = 4, 2, 3, 5


def logistic(number):
    return 1 / (1 + math.exp(-number))


def by_the_paper(weights, x):
    """Compute h for each sequence, unit by unit (Cho et al. 2014, equations 5 to 8)."""
    w = {g: weights.weight_ih[k * H : (k + 1) * H] for k, g in enumerate("rzn")}
    u = {g: weights.weight_hh[k * H : (k + 1) * H] for k, g in enumerate("rzn")}
    bias = weights.bias_ih + weights.bias_hh
    b = {g: bias[k * H : (k + 1) * H] for k, g in enumerate("rzn")}
    outputs = np.zeros((T, B, H))
    for s in range(B):
        h = [0.0] * H
        for t in range(T):
            total = lambda g, k, v: w[g][k] @ x[t, s] + u[g][k] @ np.array(v) + b[g][k]  # noqa: B023, E731
            r = [logistic(total("r", k, h)) for k in range(H)]
            z = [logistic(total("z", k, h)) for k in range(H)]
            reset = [r[k] * h[k] for k in range(H)]
            n = [math.tanh(total("n", k, reset)) for k in range(H)]
            h = [z[k] * h[k] + (1 - z[k]) * n[k] for k in range(H)]
            outputs[t, s] = h
    return outputs


def test_it_is_the_paper():
    net = xpbptt.GRU(I, H, reset_after=False)
    params = net.init(3, dtype="float64")
    x = np.random.default_rng(0).normal(size=(T, B, I))
    y, _ = net.infer(params, x)
    np.testing.assert_allclose(y, by_the_paper(params[0], x), rtol=0, atol=1e-14)
    other, _ = xpbptt.GRU(I, H).infer(params, x)
    assert np.abs(y - other).max() > 1e-3


def test_its_name_tells_it_apart():
    assert repr(xpbptt.GRU(I, H, reset_after=False)) == "GRU-reset-before(3, 5)"
    assert xpbptt.GRU(I, H, reset_after=False) != xpbptt.GRU(I, H)


def test_reset_after_is_a_bool():
    with pytest.raises(TypeError, match="`reset_after` must be True or False, got 'before'"):
        xpbptt.GRU(I, H, reset_after="before")
