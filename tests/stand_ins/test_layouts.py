"""NumPy arrays that must not be written to, or that lie in memory otherwise than usual."""

import numpy as np
import pytest

import xpbptt


def strided(array):
    """Take every second element of an array that is twice as long along every axis."""
    wide = np.full([2 * size for size in array.shape], 99).astype(array.dtype)
    view = wide[tuple(slice(None, None, 2) for _ in array.shape)]
    view[...] = array
    return view


def backwards(array):
    """Store the array from its end, along every axis."""
    every = tuple(slice(None, None, -1) for _ in array.shape)
    return array[every].copy()[every]


def inner_axis_last(array):
    """Store the first axis innermost, then the last, then the others: neither C nor Fortran."""
    return np.moveaxis(np.moveaxis(array, 0, -1).copy(), -1, 0) if array.ndim else array.copy()


LAYOUTS = {
    "strided": strided,
    "fortran": np.asfortranarray,
    "backwards": backwards,
    "first axis innermost": inner_axis_last,
}


def test_the_layout_does_not_matter(call, assert_same_on_numpy):
    for lay in LAYOUTS.values():
        assert_same_on_numpy(call(lay), call, np.asarray, tolerance=1e-13)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layouts_are_what_they_say(layout):
    array = np.arange(24.0).reshape(2, 3, 4)
    laid = LAYOUTS[layout](array)
    np.testing.assert_array_equal(laid, array)
    assert laid.strides != array.strides
    assert laid.flags.f_contiguous == (layout == "fortran")
    assert all(stride < 0 for stride in laid.strides) == (layout == "backwards")


def test_inputs_may_be_read_only_and_keep_every_bit(call, assert_same_on_numpy):
    made = []

    def make(array):
        array = array.copy()
        array.flags.writeable = False
        made.append((array, array.tobytes()))
        return array

    assert_same_on_numpy(call(make), call, np.asarray, tolerance=0)
    assert made
    for array, before in made:
        assert not array.flags.writeable
        assert array.tobytes() == before


def test_a_write_to_an_input_is_seen():
    net = xpbptt.RNN(3, 5)

    def step(weights, u, state, *, xp):
        if state[0].shape[0] == 1:  # a batch that the check of the contract does not have
            weights.bias[...] = 0
        return net.recurrence.step(weights, u, state, xp=xp)

    writing = xpbptt.Net(net.recurrence._replace(step=step), 3, 5)
    params = net.init(0)
    params[0].bias_hh.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        writing.infer(params, np.ones((2, 1, 3), dtype=np.float32))
