"""The laws that every net obeys, on every library."""

import os
import pickle
import subprocess
import sys

import array_api_compat
import numpy as np
import pytest
from helpers import host

import xpbptt
from xpbptt._arrays.tree import leaves, map_leaves
from xpbptt.testing import check_gradients


def backward(case, dy=None, dstate=None):
    _, _, cache = case.net.forward(case.params, case.x, case.state)
    return case.net.backward(cache, case.dy if dy is None else dy, dstate or case.dstate)


@pytest.mark.parametrize("make", [xpbptt.RNN, xpbptt.LSTM, xpbptt.GRU])
def test_smooth_cells_are_checked_by_complex_step(make, make_case):
    case = make_case(make(3, 5))
    assert check_gradients(case.net, case.params, case.x).method == "complex step"


def test_outputs_and_gradients_belong_to_the_inputs_library_dtype_and_device(
    net, xp, arrays, tree_map
):
    params = net.init(0, xp=xp, dtype=xp.float32)
    x = xp.ones((2, 4, net.input_size), dtype=xp.float32)
    y, state, cache = net.forward(params, x)
    grads = net.backward(cache, y, state)
    for array in arrays((y, state, grads, net.infer(params, x))):
        assert type(array) is type(x)
        assert array.dtype == xp.float32
        assert array_api_compat.device(array) == array_api_compat.device(x)
    same_shape = lambda a, b: a.shape == b.shape  # noqa: E731
    assert all(arrays(tree_map(same_shape, grads.params, params)))
    assert grads.x.shape == x.shape
    assert all(arrays(tree_map(same_shape, grads.state, state)))


def test_inputs_are_not_modified(case, xp, tree_map, assert_close):
    inputs = (case.params, case.x, case.state, case.dy, case.dstate)
    before = tree_map(lambda a: xp.asarray(a, copy=True), inputs)
    for mask in (None, xp.asarray(np.random.default_rng(0).random((6, 4)) > 0.3)):
        kept = xp.asarray(mask, copy=True) if mask is not None else None
        _, _, cache = case.net.forward(case.params, case.x, case.state, mask)
        case.net.backward(cache, case.dy, case.dstate)
        case.net.infer(case.params, case.x, case.state, mask)
        assert_close(inputs, before, 0)
        assert kept is None or bool(xp.all(mask == kept))


def test_empty_and_single(net, make_case, xp, arrays, assert_close):
    for steps, batch in ((0, 4), (6, 0), (0, 0), (1, 1)):
        case = make_case(net, steps, batch)
        y, state, cache = net.forward(case.params, case.x, case.state)
        grads = net.backward(cache, case.dy, case.dstate)
        assert y.shape == case.dy.shape
        assert grads.x.shape == case.x.shape
        if steps == 0:
            assert_close((state, grads.state), (case.state, case.dstate), 0)
        if steps * batch == 0:
            assert all(not bool(xp.any(a != 0)) for a in arrays(grads.params))
        else:
            check_gradients(net, case.params, case.x, case.state)


def test_strided_inputs(net, make_case, xp, tree_map, assert_close):
    case = make_case(net)
    spread = lambda a: xp.stack((a, a), axis=a.ndim)[..., 0]  # noqa: E731
    strided = case._replace(
        params=tree_map(spread, case.params), x=spread(case.x), dy=spread(case.dy)
    )
    assert_close(backward(strided), backward(case))


def test_read_only_inputs(net, tree_map, arrays):
    """NumPy's, which alone has them."""
    params = net.init(0)
    x = np.ones((6, 4, 3), dtype=np.float32)
    y, state, _ = net.forward(params, x)
    dy, dstate = np.ones_like(y), tree_map(np.ones_like, state)
    for array in arrays((params, x, state, dy, dstate)):
        array.flags.writeable = False
    _, _, cache = net.forward(params, x, state)
    grads = net.backward(cache, dy, dstate)
    assert all(array.flags.writeable for array in arrays(grads))


def test_the_final_state_does_not_keep_the_sequence_alive(net, arrays):
    """On NumPy, which says whose memory an array is in: carried states would pin every chunk."""
    _, state, _ = net.forward(net.init(0), np.ones((60, 4, 3), dtype=np.float32))
    for array in arrays(state):
        owner = array if array.base is None else array.base
        assert owner.size == array.size


def test_init_draws_the_same_numbers_everywhere(net, xp, arrays):
    reference = arrays(net.init(7, dtype=np.float64))
    weights = arrays(net.init(7, xp=xp, dtype=xp.float64))
    bound = net.hidden_size**-0.5
    for ours, numpys in zip(weights, reference, strict=True):
        np.testing.assert_array_equal(host(ours), numpys)
        assert np.abs(numpys).max() <= bound
    assert max(np.abs(a).max() for a in reference) > 0.9 * bound
    assert len({a.ravel()[0] for a in reference}) == len(reference)


def test_init_defaults_to_numpys_float32():
    net = xpbptt.LSTM(3, 5)
    weights = net.init()[0]
    assert weights.weight_ih.dtype == np.float32
    assert np.array_equal(weights.weight_ih, net.init(0)[0].weight_ih)
    assert not np.array_equal(weights.weight_ih, net.init(1)[0].weight_ih)


def test_a_net_shows_the_call_that_makes_it_and_compares_by_value():
    net = xpbptt.LSTM(3, 5, 2, bidirectional=True)
    assert repr(net) == "LSTM(3, 5, num_layers=2, bidirectional=True)"
    assert net == xpbptt.LSTM(3, 5, num_layers=2, bidirectional=True)
    assert net != xpbptt.GRU(3, 5, 2, bidirectional=True)
    assert xpbptt.RNN(3, 5) != xpbptt.RNN(3, 5, nonlinearity="relu")


@pytest.mark.usefixtures("xp")
def test_jax_compiles_a_short_run():
    """With jax among the libraries, whichever of them it is counted under."""
    jax = pytest.importorskip("jax", reason='needs jax: nox -s "tests(jax)" runs it')
    net = xpbptt.LSTM(3, 5, bidirectional=True)
    params = net.init(0, xp=jax.numpy)
    x = jax.numpy.ones((2, 4, 3), dtype=jax.numpy.float32)

    def run(params, x):
        y, state, cache = net.forward(params, x)
        return y, net.backward(cache, y, state)

    for compiled in (jax.jit(run)(params, x), jax.jit(lambda x: run(params, x))(x)):
        for a, b in zip(jax.tree.leaves(compiled), jax.tree.leaves(run(params, x)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_a_net_is_pickled_without_its_hash():
    """Strings have another hash in another process."""
    net = xpbptt.LSTM(3, 5, 2, bidirectional=True)
    hash(net)
    code = (
        "import pickle, sys; net = pickle.load(sys.stdin.buffer); print(net in {eval(repr(net))})"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    names = "from xpbptt import LSTM; "
    read = subprocess.run(
        [sys.executable, "-c", names + code],
        input=pickle.dumps(net),
        env=environment,
        capture_output=True,
        check=True,
    )
    assert read.stdout.strip() == b"True"


@pytest.mark.parametrize(
    ("make", "layers", "both"),
    [(xpbptt.RNN, 1, False), (xpbptt.LSTM, 2, True), (xpbptt.GRU, 1, False)],
)
def test_the_other_byte_order_comes_out_as_it_went_in(make, layers, both):
    """What one call returns can be passed to the next."""
    net = make(3, 5, layers, bidirectional=both)
    native = (net.init(0), np.ones((6, 4, 3), dtype=np.float32))
    swapped = map_leaves(lambda a: a.astype(a.dtype.newbyteorder()), native)
    results = []
    for params, x in (native, swapped):
        _, state = net.infer(params, x)
        y, state, cache = net.forward(params, x, state)
        results.append((y, state, *net.backward(cache, y, state, trace=True)))
        if not both:
            for _ in range(2):
                results[-1] += net.step(params, x[0], state)
                state = results[-1][-1]
    for (_, a), (_, b) in zip(*map(leaves, map(tuple, results)), strict=True):
        assert b.dtype == a.dtype.newbyteorder()
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
