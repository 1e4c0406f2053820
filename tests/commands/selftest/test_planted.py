"""Mistakes put into the library on purpose, each of which a check must report."""

from itertools import count

import numpy as np
import pytest

import xpbptt
from xpbptt import Net
from xpbptt._arrays.tree import map_leaves
from xpbptt.bptt import Recurrence
from xpbptt.commands.selftest import laws, parity, training

FORWARD, BACKWARD, INFER = Net.forward, Net.backward, Net.infer


def wrong_gradient(net, cache, *arguments, **options):
    grads = BACKWARD(net, cache, *arguments, **options)
    return grads._replace(x=grads.x * 1.001)


def gradient_of_the_wrong_step(net, cache, dy, *arguments, **options):
    return BACKWARD(net, cache, np.roll(dy, 1, axis=0), *arguments, **options)


def inexact_in_float32(net, params, x, *arguments, **options):
    y, state, cache = FORWARD(net, params, x, *arguments, **options)
    wrong = x.dtype == np.float32 and not isinstance(net.cell, Recurrence)
    return y * (1.001 if wrong else 1), state, cache


def another_dtype(net, params, x, *arguments, **options):
    y, state, cache = FORWARD(net, params, x, *arguments, **options)
    return y.astype(np.float64), state, cache


def added_to(net, cache, *arguments, **options):
    grads = BACKWARD(net, cache, *arguments, **options)
    return grads._replace(x=grads.x + 1)


def truncated(net, *arguments, bptt, **options):
    bptt = xpbptt.Truncated(2) if bptt == xpbptt.Segments(4) else bptt
    return FORWARD(net, *arguments, bptt=bptt, **options)


def backwards_in_time(net, params, x, *arguments, **options):
    return FORWARD(net, params, np.flip(x, axis=0), *arguments, **options)


def inferred_otherwise(net, *arguments, **options):
    y, state = INFER(net, *arguments, **options)
    return y + 1e-9, state


def read_padding(net, params, x, state, mask, **options):
    y, state, cache = FORWARD(net, params, x, state, mask, **options)
    return y + 0 * np.sum(x), state, cache


def written_padding(net, params, x, state, mask=None, **options):
    y, state, cache = FORWARD(net, params, x, state, mask, **options)
    return y if mask is None else y + ~mask[..., None], state, cache


def another_each_time(net, *arguments, **options):
    y, state, cache = FORWARD(net, *arguments, **options)
    return y + y.dtype.type(next(NOISE)), state, cache


def raising(net, *arguments, **options):
    message = "the second line\nof which is kept"
    raise LookupError(message)


def backwards(net, cache, *arguments, **options):
    return map_leaves(lambda leaf: -leaf, BACKWARD(net, cache, *arguments, **options))


NOISE = count(step=1e-7)  # a difference that is no more than rounding


@pytest.mark.parametrize(
    ("part", "name", "planted", "check", "said"),
    [
        ("derivative", "backward", wrong_gradient, "derivative, LSTM", "the derivative is"),
        ("derivative", "backward", gradient_of_the_wrong_step, "derivative, GRU before", "off by"),
        ("derivative", "forward", raising, "derivative, GRU", "LookupError: the second line"),
        ("linearity", "backward", added_to, "linearity, LSTM", "linearity: `grads.x` is off by"),
        ("strategies", "forward", truncated, "strategies, LSTM", "Segments(length=4) gives what"),
        ("direction", "forward", backwards_in_time, "direction, LSTM", "wrong direction"),
        ("padding", "forward", read_padding, "padding, LSTM", "NaN in `x`: `y` is off by nan"),
        ("padding", "forward", written_padding, "padding, GRU", "NaN in `x`, without backward"),
        ("chunks", "infer", inferred_otherwise, "chunks, GRU", "infer equals forward: `y` is off"),
        ("engines", "forward", another_each_time, "engines, LSTM", "the same bits twice"),
        ("engines", "forward", inexact_in_float32, "engines, GRU", "compiled equals eager"),
        (parity, "forward", inexact_in_float32, "as NumPy in float32, LSTM", "`y` is off by"),
        (parity, "forward", another_dtype, "as NumPy in float32, GRU", "expected float32"),
        (training, "backward", backwards, "training, GRU", "expected at most half of it"),
    ],
)
def test_it_is_reported(selftest, only, monkeypatch, part, name, planted, check, said):
    if isinstance(part, str):
        monkeypatch.setattr(laws, "LAWS", {part: laws.LAWS[part]})
    only(laws if isinstance(part, str) else part)
    code, out, _ = selftest()
    assert code == 0, out
    monkeypatch.setattr(Net, name, planted)
    code, out, err = selftest()
    assert (code, err) == (1, "")
    failed = [line for line in out.splitlines() if line.startswith(f"FAILED          {check}  ")]
    assert len(failed) == 1
    text = out[out.index(failed[0]) :]
    assert said in text[: text.index("\nSuite")]
    assert f"FAILED: {check}" in out
