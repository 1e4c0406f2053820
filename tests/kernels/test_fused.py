"""Compiled cells against cells as they are written, bit for bit where it can be."""

import tempfile

import numpy as np
import pytest

import xpbptt
from xpbptt import KeepAll
from xpbptt._arrays.tree import leaves, map_leaves
from xpbptt.testing import laws

I, H = 3, 5

# Every cell in one dtype, the LSTM in more: what is compiled for a dtype takes seconds a cell.
TYPED = [
    *(("rnn-tanh", "float32"), ("rnn-relu", "float64"), ("lstm", "float64"), ("gru", "float64")),
    *(("mgu", "float64"), ("own", "float64"), ("every", "float64"), ("bare", "float64")),
    *(("more", "float64"), ("more", "float32"), ("norm", "float64"), ("norm", "float32")),
    *(("free", "float64"), ("some", "float64"), ("free", "float16"), ("some", "float16")),
    ("lstm", "float32"),
    *(("lstm", "float16"), ("gru", "float16"), ("own", "float16"), ("every", "float16")),
]


def train(of, bptt, *, masked):
    """Run forward and back; the arrays of `of` are the net's, see `make`."""
    mask = of.mask if masked else None
    y, state, cache = of.net.forward(of.params, of.x, of.state, mask, bptt=bptt)
    return y, state, of.net.backward(cache, of.dy, of.dstate)


def _has_sums(name, compiler):
    if name == "norm" and compiler.name == "CUDA":
        pytest.skip("on CUDA a sum over the hidden units is taken a step at a time")


@pytest.mark.parametrize(("name", "dtype"), TYPED)
def test_a_compiled_cell_equals_the_eager_one(name, dtype, cells, compiled, xp, compiler):
    """Outputs, gradients, traces, streams; every strategy; masked, plain and of one sequence."""
    if np.dtype(dtype) not in compiler.dtypes:
        pytest.skip(f"{dtype} is not compiled for NumPy")
    _has_sums(name, compiler)
    compiled(laws.engines, xpbptt.Net(cells[name], I, H), xp=xp, dtype=dtype)


@pytest.mark.parametrize("both", [False, True])
def test_layers_and_directions(both, compiled, xp):
    compiled(laws.engines, xpbptt.LSTM(I, H, 2, bidirectional=both), xp=xp)


@pytest.mark.parametrize("law", ["derivative", "linearity", "strategies", "padding", "chunks"])
@pytest.mark.parametrize("name", ["mgu", "own", "every", "more", "norm", "bare", "free", "some"])
def test_laws_of_a_compiled_cell(name, law, cells, compiled, xp, compiler):
    """The derivative of the forward pass is taken by complex numbers, which run eagerly.

    The laws of the package's own cells are tested with those of every net.
    """
    _has_sums(name, compiler)
    compiled(laws.LAWS[law], xpbptt.Net(cells[name], I, H), xp=xp)


def test_arrays_in_any_order(make, compiled, eagerly, assert_same, compiler):
    if compiler.name == "CUDA":
        pytest.skip("makes arrays as only NumPy has them")
    of = make(xpbptt.LSTM(I, H))
    expected = eagerly(train, of, KeepAll(), masked=True)
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


def test_the_switch_may_turn_between_the_passes(make, eagerly, compiled, assert_same):
    of = make(xpbptt.LSTM(I, H))
    _, _, cache = compiled(of.net.forward, of.params, of.x, of.state, of.mask)
    kept = eagerly(of.net.forward, of.params, of.x, of.state, of.mask)[2]
    expected = eagerly(of.net.backward, kept, of.dy)
    assert_same(eagerly(of.net.backward, cache, of.dy), expected, "float64")
    assert_same(compiled(of.net.backward, kept, of.dy), expected, "float64")
