"""CuPy arrays that lie in memory otherwise than usual: what they give, and what they cost."""

import cupy
import numpy as np
import pytest

import xpbptt

B, I, H = 4, 3, 5
NETS = {
    "rnn": xpbptt.RNN(I, H, 2, bidirectional=True),
    "lstm": xpbptt.LSTM(I, H, 2),
    "gru": xpbptt.GRU(I, H, bidirectional=True),
    "gru-before": xpbptt.GRU(I, H, reset_after=False),
}


def strided(array):
    """Take every second element of an array that is twice as long along every axis."""
    wide = cupy.full([2 * size for size in array.shape], 1).astype(array.dtype)
    view = wide[tuple(slice(None, None, 2) for _ in array.shape)]
    view[...] = array
    return view


def fortran(array):
    laid = cupy.empty(array.shape, array.dtype, order="F")
    laid[...] = array
    return laid


def batch_first(array):
    """Store the second axis before the first, as a pipeline does that counts the batch first."""
    return array.swapaxes(0, 1).copy().swapaxes(0, 1) if array.ndim > 1 else strided(array)


def unaligned(array):
    """Begin at the second element of an array, where no 16 bytes can be read at once."""
    whole = cupy.empty(array.size + 1, array.dtype)
    view = whole[1:].reshape(array.shape)
    view[...] = array
    return view


LAYOUTS = {"strided": strided, "fortran": fortran, "batch first": batch_first}


def arguments(net, steps, lay, tree_map):
    """Make all that the calls of a net take, laid out in memory by `lay`."""
    random = np.random.default_rng(0)
    draw = lambda *shape: cupy.asarray(random.standard_normal(shape))  # noqa: E731
    params, x = net.init(0, xp=cupy, dtype="float64"), draw(steps, B, I)
    mask = cupy.asarray(random.random((steps, B)) < 0.7)
    y, state = net.infer(params, x)
    state, dstate = (tree_map(lambda part: draw(*part.shape), state) for _ in range(2))
    return tree_map(lay, (params, x, state, mask, draw(*y.shape), dstate))


def forward(net, params, x, state, mask, bptt):
    return net.forward(params, x, state, mask, bptt=bptt)


def every_call(net, given, bptt):
    params, x, state, mask, dy, dstate = given
    y, final, cache = forward(net, params, x, state, mask, bptt)
    results = y, final, net.backward(cache, dy, dstate), net.infer(params, x, state, mask)
    return results if net.bidirectional else (*results, net.step(params, x[0], state))


@pytest.mark.parametrize("bptt", [xpbptt.KeepAll(), xpbptt.KeepStates()], ids=repr)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", NETS)
def test_the_layout_changes_neither_values_nor_inputs(name, layout, bptt, tree_map, arrays):
    net = NETS[name]
    plain = arguments(net, 6, cupy.ascontiguousarray, tree_map)
    laid = tree_map(LAYOUTS[layout], plain)
    before = [(array.strides, array.get()) for array in arrays(laid)]
    assert not any(array.flags.c_contiguous for array in arrays(laid) if array.ndim > 1)

    expected, actual = every_call(net, plain, bptt), every_call(net, laid, bptt)

    for one, other in zip(arrays(expected), arrays(actual), strict=True):
        assert (type(other), other.dtype, other.shape) == (type(one), one.dtype, one.shape)
        np.testing.assert_allclose(other.get(), one.get(), rtol=1e-12, atol=1e-13)
    for array, (strides, values) in zip(arrays(laid), before, strict=True):
        assert array.strides == strides
        np.testing.assert_array_equal(array.get(), values)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
def test_what_a_layout_costs_does_not_grow_with_the_sequence(
    name, layout, counting, tree_map, arrays
):
    """Before the loop, at most a copy of each array."""

    def cost(steps, lay):
        params, x, state, mask, dy, dstate = arguments(NETS[name], steps, lay, tree_map)
        call = lambda: forward(NETS[name], params, x, state, mask, xpbptt.KeepAll())  # noqa: E731
        *_, cache = call()
        for counted in (
            call,
            lambda: NETS[name].backward(cache, dy, dstate),
            lambda: NETS[name].infer(params, x, state, mask),
        ):
            with counting() as count:
                counted()
            assert not count.waits
            yield count.launches.total(), count.products, count.allocations, count.on_device

    def more(steps):
        there, here = (cost(steps, lay) for lay in (LAYOUTS[layout], cupy.ascontiguousarray))
        return np.asarray([*there]) - np.asarray([*here])

    np.testing.assert_array_equal(more(9), more(30))
    launches, products, allocations, copies = more(9).T
    copied = len(arrays(arguments(NETS[name], 9, LAYOUTS[layout], tree_map)))
    assert np.all(products == 0)
    assert np.all(allocations <= copied)
    assert np.all(launches + copies <= allocations)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("given", ["state", "initial"])
def test_a_reset_restores_a_state_from_any_address(given, dtype, tree_map):
    net, random = xpbptt.LSTM(I, 16), np.random.default_rng(0)
    draw = lambda *shape: cupy.asarray(random.standard_normal(shape), dtype)  # noqa: E731
    params, x = net.init(0, xp=cupy, dtype=dtype), draw(6, B, I)
    reset = cupy.asarray(random.random((6, B)) < 0.4)
    y, state = net.infer(params, x)
    state = tree_map(lambda part: draw(*part.shape), state)
    expected = net.forward(params, x, reset=reset, **{given: state})
    found = net.forward(params, x, reset=reset, **{given: tree_map(unaligned, state)})
    assert cupy.array_equal(found[0], expected[0])
    grads = [net.backward(cache, y) for _, _, cache in (found, expected)]
    assert cupy.array_equal(grads[0].params[0].weight_hh, grads[1].params[0].weight_hh)
