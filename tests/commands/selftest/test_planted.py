"""Mistakes put into the library on purpose, each of which a check must report."""

import numpy as np
import pytest

import xpbptt
from xpbptt import Net
from xpbptt._arrays.tree import map_leaves
from xpbptt.commands.selftest import gradients, masks, parity, repeat, strategies, training

FORWARD, BACKWARD = Net.forward, Net.backward


def wrong_gradient(net, cache, *arguments, **options):
    grads = BACKWARD(net, cache, *arguments, **options)
    return grads._replace(x=grads.x * 1.001)


def gradient_of_the_wrong_step(net, cache, dy, *arguments, **options):
    return BACKWARD(net, cache, np.roll(dy, 1, axis=0), *arguments, **options)


def inexact_in_float32(net, params, x, *arguments, **options):
    y, state, cache = FORWARD(net, params, x, *arguments, **options)
    return y * (1.001 if x.dtype == np.float32 else 1), state, cache


def another_dtype(net, params, x, *arguments, **options):
    y, state, cache = FORWARD(net, params, x, *arguments, **options)
    return y.astype(np.float64), state, cache


def truncated(net, *arguments, bptt, **options):
    bptt = xpbptt.Truncated(2) if bptt == xpbptt.Segments(2) else bptt
    return FORWARD(net, *arguments, bptt=bptt, **options)


def read_padding(net, params, x, state, mask, **options):
    y, state, cache = FORWARD(net, params, x, state, mask, **options)
    return y + 0 * np.sum(x), state, cache


def written_padding(net, *arguments, **options):
    y, state, cache = FORWARD(net, *arguments, **options)
    return y + 1, state, cache


def another_each_time(net, *arguments, **options):
    y, state, cache = FORWARD(net, *arguments, **options)
    return y + np.float32(next(NOISE)), state, cache


def raising(net, *arguments, **options):
    message = "the second line\nof which is kept"
    raise LookupError(message)


def backwards(net, cache, *arguments, **options):
    return map_leaves(lambda leaf: -leaf, BACKWARD(net, cache, *arguments, **options))


NOISE = iter(np.arange(1000))


@pytest.mark.parametrize(
    ("module", "name", "planted", "check", "said"),
    [
        (gradients, "backward", wrong_gradient, "gradients, LSTM", "the derivative is"),
        (gradients, "backward", gradient_of_the_wrong_step, "gradients, GRU before", "off by"),
        (gradients, "forward", raising, "gradients, GRU", "LookupError: the second line"),
        (parity, "forward", inexact_in_float32, "as NumPy in float32, LSTM", "result.y, at most"),
        (parity, "forward", another_dtype, "as NumPy in float32, GRU", "expected float32"),
        (strategies, "forward", truncated, "strategies as KeepAll, LSTM", "Segments(length=2), 1"),
        (masks, "forward", read_padding, "NaN in the padding, LSTM", "not the same bits in result"),
        (masks, "forward", written_padding, "NaN in the padding, GRU", "leaves out is not zero"),
        (repeat, "forward", another_each_time, "the same bits again, LSTM", "not the same bits in"),
        (training, "backward", backwards, "training, GRU", "expected at most half of it"),
    ],
)
def test_it_is_reported(selftest, only, monkeypatch, module, name, planted, check, said):
    only(module)
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
