"""Compiled cells against cells as they are written, bit for bit where it can be."""

import tempfile

import numpy as np
import pytest

import xpbptt
from xpbptt import Binomial, KeepAll, KeepStates, Segments, Truncated
from xpbptt._arrays.tree import leaves, map_leaves
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


@pytest.mark.parametrize("bptt", [KeepAll(), KeepStates(), Segments(4)], ids=repr)
@pytest.mark.parametrize("both", [False, True])
def test_layers_and_directions(bptt, both, masked, make, compiled, as_written, assert_same, xp):
    of = make(xpbptt.LSTM(I, H, 2, bidirectional=both))
    expected = as_written(train, of, bptt, masked=masked)
    assert_same(compiled(train, of, bptt, masked=masked), expected, "float64")


@pytest.mark.parametrize("watch", [{"trace": True}, {"trace": True, "clip_step": 0.1}], ids=str)
def test_what_is_watched(cell, watch, masked, make, compiled, as_written, assert_same):
    of = make(xpbptt.Net(cell, I, H))
    expected = as_written(train, of, KeepAll(), masked=masked, **watch)
    assert_same(compiled(train, of, KeepAll(), masked=masked, **watch), expected, "float64")


def test_infer_and_stream(cell, dtype, masked, make, compiled, as_written, assert_same):
    of = make(xpbptt.Net(cell, I, H), dtype)
    assert_same(compiled(infer, of, masked=masked), as_written(infer, of, masked=masked), dtype)
    assert_same(compiled(stream, of), as_written(stream, of), dtype)


def test_one_sequence(cell, dtype, make, compiled, as_written, assert_same):
    """The loops that are compiled as a whole."""
    of = make(xpbptt.Net(cell, I, H), dtype, batch=1)
    expected = as_written(train, of, KeepAll(), masked=False)
    assert_same(compiled(train, of, KeepAll(), masked=False), expected, dtype)
    assert_same(compiled(stream, of), as_written(stream, of), dtype)


@pytest.mark.usefixtures("compiler")
def test_the_gradient_is_that_of_the_cell(cell, make):
    """The derivative of the forward pass is taken by complex numbers, which run as written."""
    of = make(xpbptt.Net(cell, I, H))
    assert check_gradients(of.net, of.params, of.x, of.state).error < 1e-6


def test_the_same_twice_bit_for_bit(cell, masked, make, compiled, assert_same):
    of = make(xpbptt.Net(cell, I, H))
    once, twice = (compiled(train, of, KeepAll(), masked=masked) for _ in range(2))
    assert_same(once, twice)


def test_what_is_masked_leaves_no_trace(cell, make, compiled, assert_same, xp):
    of = make(xpbptt.Net(cell, I, H))
    expected = compiled(train, of, KeepAll(), masked=True)
    keep = of.mask[..., None]
    spoilt = {"x": xp.where(keep, of.x, xp.full_like(of.x, xp.nan))}
    spoilt["dy"] = xp.where(keep, of.dy, xp.full_like(of.dy, xp.nan))
    of.__dict__.update(spoilt)
    assert_same(compiled(train, of, KeepAll(), masked=True), expected)


def test_a_spoilt_gradient_of_a_masked_sequence_stays_there(cell, make, compiled, numbers, xp):
    of = make(xpbptt.Net(cell, I, H))  # its last sequence is masked at every step
    last = xp.arange(of.x.shape[1])[:, None] == of.x.shape[1] - 1
    of.dstate = map_leaves(lambda d: xp.where(last, xp.full_like(d, xp.nan), d), of.dstate)
    grads = compiled(train, of, KeepAll(), masked=True)[2]
    for path, array in numbers(grads.params).items():
        assert np.all(np.isfinite(array)), path
    for path, array in numbers(grads.state).items():
        assert np.all(np.isnan(array[-1])), path
        assert np.all(np.isfinite(array[:-1])), path


def test_arrays_in_any_order(make, compiled, as_written, assert_same, compiler):
    if compiler.name == "CUDA":
        pytest.skip("makes arrays as only NumPy has them")
    of = make(xpbptt.LSTM(I, H))
    expected = as_written(train, of, KeepAll(), masked=True)
    with tempfile.TemporaryDirectory() as folder:

        def mapped(array):
            kept = np.memmap(f"{folder}/{id(array)}", array.dtype, "w+", shape=array.shape)
            kept[...] = array
            return kept

        def frozen(array):
            copy = array.copy()
            copy.flags.writeable = False
            return copy

        wide = lambda a: np.repeat(a, 2, axis=-1)[..., ::2]  # noqa: E731
        for form in (np.asfortranarray, wide, frozen, mapped):
            other = make(of.net)
            for name in ("params", "x", "state", "mask", "dy", "dstate"):
                setattr(other, name, map_leaves(form, getattr(of, name)))
            before = [leaf.tobytes() for _, leaf in leaves(other.params)]
            found = train(other, KeepAll(), masked=True)
            assert_same(
                map_leaves(np.array, tuple(found)), map_leaves(np.array, tuple(expected)), "float64"
            )
            assert before == [leaf.tobytes() for _, leaf in leaves(other.params)]


def test_the_switch_may_turn_between_the_passes(make, as_written, compiled, assert_same):
    of = make(xpbptt.LSTM(I, H))
    _, _, cache = compiled(of.net.forward, of.params, of.x, of.state, of.mask)
    kept = as_written(of.net.forward, of.params, of.x, of.state, of.mask)[2]
    expected = as_written(of.net.backward, kept, of.dy)
    assert_same(as_written(of.net.backward, cache, of.dy), expected, "float64")
    assert_same(compiled(of.net.backward, kept, of.dy), expected, "float64")
