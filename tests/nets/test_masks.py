"""Masks: packed sequences of torch, lengths, and masks that are refused."""

from typing import Any, NamedTuple

import array_api_compat
import numpy as np
import pytest
from helpers import host

import xpbptt

T, B, H = 6, 4, 5


@pytest.mark.parametrize(("kind", "name"), [("RNN", "RNN"), ("LSTM", "LSTM"), ("GRU", "GRU")])
@pytest.mark.parametrize("both", [False, True])
def test_parity_with_torchs_packed_sequences(torch, xp, make_case, kind, name, both):
    """Unsorted lengths, two layers, float64: outputs, final states and every gradient."""
    from xpbptt.interop.torch import from_state_dict, to_state_dict  # noqa: PLC0415

    net = getattr(xpbptt, name)(3, H, 2, bidirectional=both)
    module = getattr(torch.nn, kind)(3, H, 2, bidirectional=both, dtype=torch.float64)
    params = from_state_dict(module.state_dict(), xp=xp)
    case, lengths = make_case(net), [3, 6, 1, 4]
    x = torch.tensor(host(case.x), requires_grad=True)
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
    out, final = module(packed)
    out, _ = torch.nn.utils.rnn.pad_packed_sequence(out, total_length=T)
    finals = final if isinstance(final, tuple) else (final,)
    dfinals = [torch.ones_like(f) * (k + 1) for k, f in enumerate(finals)]
    torch.autograd.backward((out, *finals), (torch.tensor(host(case.dy)), *dfinals))

    y, state, cache = net.forward(params, case.x, mask=xpbptt.length_mask(lengths, T, xp=xp))
    entries = [e for layer in state for e in (layer if both else (layer,))]
    dstate = []
    for layer in state:
        make = lambda entry: type(entry)(*((k + 1) * xp.ones_like(a) for k, a in enumerate(entry)))  # noqa: E731
        dstate.append(tuple(make(e) for e in layer) if both else make(layer))
    grads = net.backward(cache, case.dy, tuple(dstate))
    close = lambda a, b: np.testing.assert_allclose(host(a), b, rtol=0, atol=1e-10)  # noqa: E731
    close(y, out.detach().numpy())
    for k, f in enumerate(finals):
        close(xp.stack([entry[k] for entry in entries], axis=0), f.detach().numpy())
    close(grads.x, x.grad.numpy())
    for key, gradient in to_state_dict(grads.params).items():
        close(gradient, dict(module.named_parameters())[key].grad.numpy())


class One(NamedTuple):
    a: Any


class Counted(NamedTuple):
    h: Any
    n: Any


def forward(u, v, state, *, xp):
    n = state.n + 1
    t = xp.tanh(u.a + v.a)
    return Counted(t / n, n), (t,)


def backward(residuals, state, new, dnew, *, xp):
    (t,) = residuals
    dz = One(dnew.h * (1 - t * t) / new.n)
    return dz, dz, Counted(None, dnew.n - dnew.h * t / (new.n * new.n))


DIVIDING = xpbptt.Cell("dividing", One, Counted, forward, backward)


@pytest.mark.parametrize("cell", [xpbptt.cells.SLSTM, DIVIDING], ids=lambda cell: cell.name)
@pytest.mark.parametrize("steps", [5, 40])  # on JAX eager, and as a scan
@pytest.mark.parametrize("fuse", ["0", "1"])
@np.errstate(all="ignore")  # NumPy warns of 0 / 0 in a step that is masked then
def test_a_state_that_a_cell_divides_by_may_be_zero_at_masked_steps(
    xp, cell, fuse, steps, monkeypatch
):
    """Padding before the sequence, and a sequence that is nothing else, from the default state."""
    monkeypatch.setenv("XPBPTT_FUSE", fuse)
    net, late = xpbptt.Net(cell, 3, 4), 2
    params = net.init(0, xp=xp, dtype=xp.float64)
    x = xp.asarray(np.random.default_rng(0).standard_normal((steps, 2, 3)))
    mask = xp.asarray([[b == 0 and t >= late for b in range(2)] for t in range(steps)])
    y, _, cache = net.forward(params, x, mask=mask)
    grads, _ = net.backward(cache, y, trace=True)
    short = x[late:, :1, :]
    alone, _, kept = net.forward(params, short)
    expected = net.backward(kept, alone)
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        found, wanted = (host(getattr(each.params[0], name)) for each in (grads, expected))
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)
    np.testing.assert_allclose(host(grads.x)[late:, :1], host(expected.x), rtol=0, atol=1e-12)
    assert not np.any(host(grads.x)[:, 1:])


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64"])
def test_length_mask_of_narrow_integers(xp, dtype):
    lengths = xp.asarray([2, 100], dtype=getattr(xp, dtype))
    mask = xpbptt.length_mask(lengths, 300)
    assert host(xp.sum(xp.astype(mask, xp.int32), axis=0)).tolist() == [2, 100]


def test_length_mask(xp):
    lengths = xp.asarray([3, 0, 5, 1])
    mask = xpbptt.length_mask(lengths, 5)
    assert type(mask) is type(lengths)
    assert mask.dtype == xp.bool
    expected = np.arange(5)[:, None] < np.array([3, 0, 5, 1])
    np.testing.assert_array_equal(host(mask), expected)
    from_list = xpbptt.length_mask([3, 0, 5, 1], 5, xp=xp)
    assert array_api_compat.array_namespace(from_list) is xp
    np.testing.assert_array_equal(host(from_list), expected)
    from_host = xpbptt.length_mask(np.array([3, 0, 5, 1]), 5, xp=xp)
    assert array_api_compat.array_namespace(from_host) is xp
    np.testing.assert_array_equal(host(from_host), expected)
    assert xpbptt.length_mask(xp.asarray([], dtype=xp.int32), 3).shape == (3, 0)


def test_lengths_out_of_range_on_a_device_count_as_the_nearest_in_range(xp):
    if array_api_compat.is_numpy_namespace(xp):
        pytest.skip("refused on NumPy, where no device is read")
    mask = xpbptt.length_mask(xp.asarray([-2, 7]), 3)
    assert host(mask).T.tolist() == [[False] * 3, [True] * 3]


def test_length_mask_of_lengths_in_a_third_library(xp):
    if array_api_compat.is_numpy_namespace(xp):
        pytest.skip("what NumPy has is on the host, from where it may go anywhere")
    with pytest.raises(TypeError, match=r"`lengths` is an array of .*, but `xp` is numpy: convert"):
        xpbptt.length_mask(xp.asarray([3, 1]), 5, xp=np)


@pytest.mark.parametrize(
    ("lengths", "steps", "error", "text"),
    [
        ([3, 6], 5, ValueError, r"`lengths` must be from 0 to T = 5, got \[6\]"),
        ([-1], 5, ValueError, r"`lengths` must be from 0 to T = 5, got \[-1\]"),
        (np.array([3, 6]), 5, ValueError, r"`lengths` must be from 0 to T = 5, got \[6\]"),
        (np.array([-1, 2]), 5, ValueError, r"`lengths` must be from 0 to T = 5, got \[-1\]"),
        (np.array([3, 2**63], np.uint64), 5, ValueError, r"got \[9223372036854775808\]"),
        (np.arange(99), 5, ValueError, r"got \[6, 7, 8, 9, 10, 11, 12, 13\] and 85 more"),
        ([1.5], 5, TypeError, "`lengths` must be a sequence of ints"),
        ([float("inf")], 5, TypeError, "`lengths` must be a sequence of ints"),
        (3, 5, TypeError, "`lengths` must be a sequence of ints"),
        ("ab", 5, TypeError, "`lengths` must be a sequence of ints"),
        (np.ones(2), 5, TypeError, "`lengths` must be an array of integers, got dtype float64"),
        (np.ones((2, 1), dtype=int), 5, ValueError, r"`lengths` must have the axes \(B\)"),
        ([3], 5.0, TypeError, "`steps` must be an int, got 5.0"),
        ([3], -1, ValueError, "`steps` must be at least 0, got -1"),
    ],
)
def test_length_mask_refuses(lengths, steps, error, text):
    with pytest.raises(error, match=text):
        xpbptt.length_mask(lengths, steps)


@pytest.mark.parametrize("function", ["forward", "infer"])
@pytest.mark.parametrize(
    ("spoil", "error", "text"),
    [
        (lambda m, xp: m[:-1, :], ValueError, r"`mask` has shape \(5, 4\), expected \(T, B\)"),
        (lambda m, xp: m[..., None], ValueError, r"`mask` has shape \(6, 4, 1\)"),
        (lambda m, xp: xp.astype(m, xp.float64), TypeError, "`mask` must be an array of booleans"),
        (lambda m, xp: xp.astype(m, xp.int32), TypeError, "`mask` must be an array of booleans"),
        (lambda m, xp: [[True]], TypeError, "`mask` must be an array of an Array API library"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(make_case, xp, function, spoil, error, text):
    case = make_case(xpbptt.GRU(3, H))
    mask = spoil(xp.ones((T, B), dtype=xp.bool), xp)
    with pytest.raises(error, match=text):
        getattr(case.net, function)(case.params, case.x, case.state, mask)
