"""The notebook's functions and the nets are two independent pieces of code for the same maths."""

import numpy as np
import pytest

import xpbptt

T, M, NX, NA, NY = 6, 4, 3, 5, 2
TOLERANCE = 1e-12
GATES = "ifco"  # the notebook's names for i f g o


@pytest.fixture
def draw(xp):
    random = np.random.default_rng(4)
    return lambda *shape: xp.asarray(random.standard_normal(shape), dtype=xp.float64)


def time_major(array, xp):
    """(n, m, T) → (T, m, n)."""
    return xp.permute_dims(array, (2, 1, 0))


def test_rnn(xp, draw, assert_close):
    parameters = {
        "Wax": draw(NA, NX),
        "Waa": draw(NA, NA),
        "Wya": draw(NY, NA),
        "ba": draw(NA, 1),
        "by": draw(NY, 1),
    }
    x, a0, da = draw(NX, M, T), draw(NA, M), draw(NA, M, T)
    a, _, caches = xpbptt.rnn_forward(x, a0, parameters)
    gradients = xpbptt.rnn_backward(da, caches)

    net = xpbptt.RNN(NX, NA)
    ba = parameters["ba"][:, 0]
    params = (xpbptt.Weights(parameters["Wax"], parameters["Waa"], ba, xp.zeros_like(ba)),)
    state = ((xp.matrix_transpose(a0),),)
    y, _, cache = net.forward(params, time_major(x, xp), state)
    grads = net.backward(cache, time_major(da, xp))

    assert_close(y, time_major(a, xp), TOLERANCE)
    assert_close(grads.x, time_major(gradients["dx"], xp), TOLERANCE)
    assert_close(xp.matrix_transpose(grads.state[0].h), gradients["da0"], TOLERANCE)
    assert_close(grads.params[0].weight_ih, gradients["dWax"], TOLERANCE)
    assert_close(grads.params[0].weight_hh, gradients["dWaa"], TOLERANCE)
    assert_close(grads.params[0].bias_ih[:, None], gradients["dba"], TOLERANCE)


def test_lstm(xp, draw, assert_close):
    parameters = {f"W{g}": draw(NA, NA + NX) for g in GATES}
    parameters |= {f"b{g}": draw(NA, 1) for g in GATES}
    parameters |= {"Wy": draw(NY, NA), "by": draw(NY, 1)}
    x, a0, da = draw(NX, M, T), draw(NA, M), draw(NA, M, T)
    a, _, c, caches = xpbptt.lstm_forward(x, a0, parameters)
    gradients = xpbptt.lstm_backward(da, caches)

    net = xpbptt.LSTM(NX, NA)
    weights = xp.concat([parameters[f"W{g}"] for g in GATES], axis=0)
    bias = xp.concat([parameters[f"b{g}"] for g in GATES], axis=0)[:, 0]
    params = (xpbptt.Weights(weights[:, NA:], weights[:, :NA], bias, xp.zeros_like(bias)),)
    h0 = xp.matrix_transpose(a0)
    y, final, cache = net.forward(params, time_major(x, xp), ((h0, xp.zeros_like(h0)),))
    grads = net.backward(cache, time_major(da, xp))

    assert_close(y, time_major(a, xp), TOLERANCE)
    assert_close(final[0].c, xp.matrix_transpose(c[:, :, T - 1]), TOLERANCE)
    assert_close(grads.x, time_major(gradients["dx"], xp), TOLERANCE)
    assert_close(xp.matrix_transpose(grads.state[0].h), gradients["da0"], TOLERANCE)
    dweights = xp.concat([gradients[f"dW{g}"] for g in GATES], axis=0)
    dbias = xp.concat([gradients[f"db{g}"] for g in GATES], axis=0)
    assert_close(grads.params[0].weight_ih, dweights[:, NA:], TOLERANCE)
    assert_close(grads.params[0].weight_hh, dweights[:, :NA], TOLERANCE)
    assert_close(grads.params[0].bias_ih[:, None], dbias, TOLERANCE)
