import warnings

import array_api_compat
import numpy as np
import pytest
from helpers import host

from xpbptt._arrays.draw import uniform
from xpbptt.nets.linear import Linear, LinearParams

READOUT = Linear(5, 3)


def literal_forward(weight, bias, x):
    return np.einsum("...i,oi->...o", x, weight) + bias


def complex_step(function, array):
    """The gradient of `function` without cancellation: im f(a + iε) / ε for each element."""
    gradient = np.zeros(array.shape)
    for p in np.ndindex(array.shape):
        moved = array.astype(complex)
        moved[p] += 1e-30j
        gradient[p] = function(moved).imag / 1e-30
    return gradient


def example(shape, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=s) for s in ((3, 5), (3,), (*shape, 5), (*shape, 3))]


@pytest.mark.parametrize("shape", [(), (4,), (7, 2), (2, 4, 6), (0, 2), (7, 0)])
def test_outputs_and_gradients_are_those_of_the_formula(xp, shape):
    weight, bias, x, dy = arrays = example(shape)
    on_xp = [xp.asarray(array) for array in arrays]
    params = LinearParams(*on_xp[:2])
    y, cache = READOUT.forward(params, on_xp[2])
    grads = READOUT.backward(cache, on_xp[3])
    np.testing.assert_allclose(host(y), literal_forward(weight, bias, x), atol=1e-13)
    np.testing.assert_array_equal(host(READOUT.infer(params, on_xp[2])), host(y))
    assert grads.state == ()
    for name, got, expected in [
        ("weight", grads.params.weight, lambda w: np.sum(dy * literal_forward(w, bias, x))),
        ("bias", grads.params.bias, lambda b: np.sum(dy * literal_forward(weight, b, x))),
        ("x", grads.x, lambda x: np.sum(dy * literal_forward(weight, bias, x))),
    ]:
        values = {"weight": weight, "bias": bias, "x": x}[name]
        np.testing.assert_allclose(
            host(got), complex_step(expected, values), atol=1e-13, err_msg=name
        )
    for before, after in zip(arrays, on_xp, strict=True):
        np.testing.assert_array_equal(host(after), before)  # nothing was modified


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_everything_stays_in_the_library_and_dtype(xp, dtype):
    dtype = getattr(xp, dtype)
    params = READOUT.init(0, xp=xp, dtype=dtype)
    x = xp.ones((7, 2, 5), dtype=dtype)
    y, cache = READOUT.forward(params, x)
    grads = READOUT.backward(cache, y)
    for array in (*params, y, *grads.params, grads.x):
        assert type(array) is type(x)
        assert array.dtype == dtype
        assert array_api_compat.device(array) == array_api_compat.device(x)


def test_torch_computes_the_same(torch):
    weight, bias, x, dy = (torch.asarray(array) for array in example((7, 2)))
    theirs = torch.nn.Linear(5, 3, dtype=torch.float64)
    with torch.no_grad():
        theirs.weight.copy_(weight)
        theirs.bias.copy_(bias)
    their_x = x.clone().requires_grad_()
    their_y = theirs(their_x)
    their_y.backward(dy)
    y, cache = READOUT.forward(LinearParams(weight, bias), x)
    grads = READOUT.backward(cache, dy)
    for ours, expected in [
        (y, their_y),
        (grads.params.weight, theirs.weight.grad),
        (grads.params.bias, theirs.bias.grad),
        (grads.x, their_x.grad),
    ]:
        torch.testing.assert_close(ours, expected.detach(), rtol=1e-10, atol=1e-10)


def test_a_seed_means_the_same_weights_on_every_library(xp):
    expected = READOUT.init(seed=4, dtype=np.float64)
    got = READOUT.init(seed=4, xp=xp, dtype=xp.float64)
    for ours, theirs in zip(got, expected, strict=True):
        np.testing.assert_array_equal(host(ours), theirs)
    other = READOUT.init(seed=5, dtype=np.float64)
    assert np.all(other.weight != expected.weight)
    assert np.all(READOUT.init(np.random.default_rng(4)).bias == expected.bias.astype("float32"))


def test_weights_are_uniform_within_one_over_the_root_of_the_inputs():
    weight, bias = Linear(16, 2000).init()
    assert weight.dtype == bias.dtype == np.float32
    assert (weight.shape, bias.shape) == ((2000, 16), (2000,))
    for array in (weight, bias):
        assert np.abs(array).max() <= 0.25
        assert np.abs(array).max() > 0.249
        assert abs(array.mean()) < 0.02
        assert array.std() == pytest.approx(0.25 / np.sqrt(3), rel=0.05)


def test_a_library_given_as_people_import_it(torch):
    params = READOUT.init(xp=torch, dtype=torch.float16)
    assert params.weight.dtype == torch.float16
    assert params.weight.shape == (3, 5)


def test_a_dtype_that_the_library_does_not_give_is_refused():
    class Truncating:
        """JAX without x64, which the other tests need switched on."""

        __name__ = "jax.numpy"
        float64 = np.float64
        isdtype = staticmethod(np.isdtype)

        @staticmethod
        def asarray(array, *, dtype, device):
            assert dtype is np.float64
            warnings.warn("truncated", UserWarning, stacklevel=2)
            return np.asarray(array, dtype=np.float32, device=device)

    with pytest.raises(ValueError, match="jax_enable_x64"):
        uniform(np.random.default_rng(0), (2, 3), 1.0, xp=Truncating, dtype=np.float64)


def test_a_dtype_that_is_no_floating_point_dtype_is_refused(xp):
    for dtype in (xp.int32, xp.bool, xp.complex64, 3, "nonsense"):
        with pytest.raises(TypeError, match="`dtype` must be a real floating-point dtype"):
            READOUT.init(xp=xp, dtype=dtype)


@pytest.mark.parametrize(
    ("sizes", "error", "match"),
    [
        ((0, 3), ValueError, "`input_size` must be at least 1, got 0"),
        ((5, -2), ValueError, "`output_size` must be at least 1, got -2"),
        ((5.0, 3), TypeError, "`input_size` must be an int, got 5.0"),
        ((5, True), TypeError, "`output_size` must be an int, got True"),
    ],
)
def test_bad_sizes_are_refused(sizes, error, match):
    with pytest.raises(error, match=match):
        Linear(*sizes)


def test_bad_input_is_refused_with_the_arguments_name(xp):
    weight, bias, x, dy = (xp.asarray(array) for array in example((7, 2)))
    params = LinearParams(weight, bias)
    _, cache = READOUT.forward(params, x)
    _, other_cache = Linear(5, 5).forward(Linear(5, 5).init(xp=xp, dtype=xp.float64), x)
    half = xp.astype(x, xp.float32)
    forward = [
        ((params, x[..., :4]), ValueError, r"`x` has shape \(7, 2, 4\)"),
        ((params, x[0, 0, 0]), ValueError, "`x` has shape"),
        ((params, xp.astype(x, xp.int32)), TypeError, "`x`.*floating"),
        ((params, half), TypeError, "`params.weight` has dtype"),
        ((params, example((7, 2))[2].tolist()), TypeError, "`x` must be an array"),
        ((params._replace(bias=half[0, 0, :3]), x), TypeError, "`params.bias` has dtype"),
        ((LinearParams(xp.matrix_transpose(weight), bias), x), ValueError, "`params.weight`"),
        ((LinearParams(weight, bias[:2]), x), ValueError, r"`params.bias` has shape \(2,\)"),
        (((weight,), x), ValueError, "`params` must be a tuple of 2"),
        (({"weight": weight, "bias": bias}, x), TypeError, "`params` must be a tuple"),
    ]
    backward = [
        ((cache, dy[..., :2]), ValueError, r"`dy` has shape \(7, 2, 2\)"),
        ((cache, dy[0, ...]), ValueError, "`dy` has shape"),
        ((cache, half[..., :3]), TypeError, "`dy` has dtype"),
        ((other_cache, dy), ValueError, "`cache` was made by Linear"),
        ((x, dy), TypeError, "`cache` must be what `forward` returned"),
    ]
    for function, cases in [
        (READOUT.forward, forward),
        (READOUT.infer, forward),
        (READOUT.backward, backward),
    ]:
        for arguments, error, match in cases:
            with pytest.raises(error, match=match):
                pytest.fail(f"taken, with the result {function(*arguments)}")


def test_a_readout_shows_and_compares_as_its_sizes():
    assert repr(READOUT) == "Linear(5, 3)"
    assert Linear(5, 3) == READOUT != Linear(3, 5)
    with pytest.raises(AttributeError):
        READOUT.input_size = 4
