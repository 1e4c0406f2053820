"""The laws of the combinators."""

import pytest

import xpbptt
from xpbptt.bptt import KeepAll, Run, Watch, bidirectional, recurrence, reverse, unroll
from xpbptt.cells import GRU, LSTM, RNN_RELU, RNN_TANH

CELLS = [RNN_TANH, RNN_RELU, LSTM, GRU]


@pytest.fixture(params=CELLS, ids=lambda c: c.name)
def cell(request):
    return request.param


@pytest.fixture
def inputs(cell, make_case):
    """Parameters, input, state and upstream gradients of one layer in one direction."""
    case = make_case(xpbptt.Net(cell, 3, 5))
    return case.params[0], case.x, case.state[0], case.dy, case.dstate[0]


def run(layer, inputs, xp):
    params, x, state, dy, dstate = inputs
    y, final, cache = layer.forward(
        params, x, state, Run(None, KeepAll().plan(x.shape[0], lambda: 1.0)), xp=xp
    )
    return y, final, layer.backward(cache, dy, dstate, Watch(), xp=xp)[0]


def test_reverse_is_flip_layer_flip(cell, inputs, xp, assert_close):
    layer = unroll(recurrence(cell))
    params, x, state, dy, dstate = inputs
    flipped = (params, xp.flip(x, axis=0), state, xp.flip(dy, axis=0), dstate)
    y, final, grads = run(layer, flipped, xp)
    expected = xp.flip(y, axis=0), final, grads._replace(x=xp.flip(grads.x, axis=0))
    assert_close(run(reverse(layer), inputs, xp), expected, 0)


def test_a_reversed_layer_takes_no_single_step(cell):
    layer = unroll(recurrence(cell))
    assert layer.step is not None
    assert reverse(layer).step is None
    assert bidirectional(layer).step is None
