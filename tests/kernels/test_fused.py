"""Compiled cells against cells as they are written, bit for bit where it can be."""

import tempfile

import numpy as np
import pytest

import xpbptt
from xpbptt import Binomial, KeepAll, KeepStates, Segments, Truncated
from xpbptt._tree import leaves, map_leaves
from xpbptt.testing import check_gradients

I, H = 3, 5
STRATEGIES = [KeepAll(), KeepStates(), Segments(4), Binomial(2), Truncated(2)]


@pytest.fixture(params=[False, True], ids=["plain", "masked"])
def masked(request):
    return request.param


def train(of, bptt, *, masked, **watch):
    """Run forward and back; the arrays of `of` are the net's, see `make`."""
    mask = of.mask if masked else None
    y, state, cache = of.net.forward(of.params, of.x, of.state, mask, bptt=bptt)
    return y, state, of.net.backward(cache, of.dy, of.dstate, **watch)


def infer(of, *, masked):
    return of.net.infer(of.params, of.x, of.state, of.mask if masked else None)


def stream(of):
    state, outputs = of.state, []
    for t in range(of.x.shape[0]):
        y, state = of.net.step(of.params, of.x[t, ...], state)
        outputs.append(y)
    return outputs, state


@pytest.mark.parametrize("bptt", STRATEGIES, ids=repr)
def test_every_cell_dtype_and_strategy(
    cell, dtype, bptt, masked, make, compiled, as_written, assert_same
):
    of = make(xpbptt.Net(cell, I, H), dtype)
    expected = as_written(train, of, bptt, masked=masked)
    assert_same(compiled(train, of, bptt, masked=masked), expected, dtype)
