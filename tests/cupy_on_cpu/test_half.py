"""float16: every array is stored in it, and every sum is made in float32."""

import re

import array_api_compat.cupy
import cupy
import numpy as np
import pytest
from cupy_backends.cuda.libs import cublas

import xpbptt

T, B, I, H, K = 40, 4, 3, 5, 6
HALF, COMPUTE_32F = 2, 68  # cudaDataType, cublasComputeType
NETS = {
    "rnn": xpbptt.RNN(I, H, nonlinearity="relu"),
    "lstm": xpbptt.LSTM(I, H, 2, bidirectional=True),
    "gru": xpbptt.GRU(I, H, 2),
    "gru-before": xpbptt.GRU(I, H, reset_after=False),
}
STRATEGIES = [xpbptt.KeepAll(), xpbptt.KeepStates(), xpbptt.Segments(4)]


@pytest.fixture
def draw():
    random = np.random.default_rng(0)
    return lambda *shape: cupy.asarray(random.standard_normal(shape).astype("float16"))


def train(net, draw, bptt=STRATEGIES[0]):
    """Call everything that multiplies or adds up, and return what came out."""
    params, readout = net.init(0, xp=cupy, dtype="float16"), xpbptt.Linear(H * net.directions, K)
    weights, x = readout.init(1, xp=cupy, dtype="float16"), draw(T, B, I)
    mask = cupy.asarray(np.random.default_rng(1).random((T, B)) < 0.7)
    y, state, cache = net.forward(params, x, None, mask, bptt=bptt)
    logits, kept = readout.forward(weights, y)
    loss, dlogits = xpbptt.mean_squared_error(logits, draw(T, B, K), mask)
    from_y = readout.backward(kept, dlogits)
    grads = net.backward(cache, from_y.x, state)
    _, trace = net.backward(cache, from_y.x, trace=True, clip_step=1.0)
    return y, state, loss, from_y, grads, trace, net.infer(params, x, state)


@pytest.mark.parametrize("bptt", STRATEGIES, ids=repr)
@pytest.mark.parametrize("name", NETS)
def test_what_is_stored_is_float16(name, bptt, draw, arrays):
    assert {str(array.dtype) for array in arrays(train(NETS[name], draw, bptt))} == {"float16"}


@pytest.mark.parametrize("name", NETS)
def test_cublas_is_asked_to_add_up_in_float32(name, draw, monkeypatch):
    asked, real = set(), cublas.gemmEx

    def gemm(*arguments):
        *_, a, _, _, b, _, _, _, c, _, compute, _ = arguments
        asked.add((a, b, c, compute))
        real(*arguments)

    monkeypatch.setattr(cublas, "gemmEx", gemm)
    train(NETS[name], draw)
    assert asked == {(HALF, HALF, HALF, COMPUTE_32F)}


@pytest.mark.parametrize("name", NETS)
def test_sums_of_float16_are_made_in_float32(name, draw, counting):
    with counting() as count:
        train(NETS[name], draw)
    sources = {kernel.source for kernels in count.kernels.values() for kernel in kernels}
    types = {
        re.search(r"typedef (\w+) _type_reduce;", source)[1]
        for source in sources
        if "typedef float16 type_in0_raw;" in source and "_type_reduce" in source
    }
    assert types == {"float"}


@pytest.mark.parametrize("name", NETS)
def test_no_sum_of_float16_is_one_that_cub_makes(name, draw, monkeypatch):
    """On a GPU CUB adds up along the last axes, float16 perhaps in float16; CuPy does the rest."""
    seen, real = [], array_api_compat.cupy.sum

    def add_up(array, *, axis=None, **options):
        seen.append((str(array.dtype), array.ndim, axis))
        return real(array, axis=axis, **options)

    monkeypatch.setattr(array_api_compat.cupy, "sum", add_up)
    train(NETS[name], draw)
    axes = {(ndim, axis) for dtype, ndim, axis in seen if dtype == "float16"}
    assert axes == {(2, 0)}


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
def test_a_kernel_of_ours_computes_in_float32(name, draw, counting):
    """It reads float16 into float, and every other value that it names is a float, too."""
    with counting() as count:
        train(NETS[name], draw)
    kernels = {k for name, kernels in count.kernels.items() if "xpbptt_" in name for k in kernels}
    assert kernels
    for kernel in kernels:
        values = re.findall(r"const (\w+) e\d+ =", kernel.source)
        assert {*values} <= {"float", "bool"}
        assert "float" in values


def test_a_step_rounds_its_products_and_its_results_and_nothing_between(draw):
    net = xpbptt.LSTM(I, H)
    params, x, state = net.init(0, xp=cupy, dtype="float16"), draw(64, I), None
    (weights,) = params
    for _ in range(3):
        before, (_, state) = state, net.step(params, x, state)
    (h, c), x_t = (part.get().astype("float64") for part in before[0]), x.get()
    w_ih, w_hh, b_ih, b_hh = (part.get().astype("float64") for part in weights[:4])

    def rounded(array):
        return array.astype("float16").astype("float64")

    i, f, g, o = np.split(rounded(x_t @ w_ih.T) + rounded(h @ w_hh.T) + b_ih + b_hh, 4, axis=1)
    i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
    c = f * c + i * np.tanh(g)
    for expected, actual in ((c, state[0].c), (o * np.tanh(c), state[0].h)):
        error = np.abs(actual.get().astype("float64") - expected)
        assert np.all(error <= 0.51 * np.spacing(np.abs(expected).astype("float16")))


def gradients_of_a_sum(dy, bptt):
    """Return the gradients of a net that is given ones and whose state forgets."""
    net = xpbptt.RNN(1, 1, nonlinearity="relu")
    one, zero = (cupy.full((1, 1), value, dtype="float16") for value in (1, 0))
    weights = net.init(0, xp=cupy)[0]._replace(
        weight_ih=one, weight_hh=zero, bias_ih=one[0], bias_hh=zero[0]
    )
    _, _, cache = net.forward((weights,), cupy.ones_like(dy), bptt=bptt)
    (grads,) = net.backward(cache, dy).params
    return {float(grads.weight_ih[0, 0]), float(grads.bias_ih[0]), float(grads.bias_hh[0])}


@pytest.mark.parametrize("bptt", STRATEGIES, ids=repr)
def test_gradients_count_beyond_2048(bptt):
    """In float16 2048 + 1 is 2048: a sum of more ones shows what it is made in."""
    assert gradients_of_a_sum(cupy.ones((T, 100, 1), dtype="float16"), bptt) == {4000}


@pytest.mark.parametrize("bptt", [xpbptt.Segments(1), xpbptt.Binomial(3)], ids=repr)
def test_the_gradients_of_segments_count_beyond_2048(bptt):
    dy = cupy.ones((T + 1, 1, 1), dtype="float16")
    dy[-1] = 2048
    assert gradients_of_a_sum(dy, bptt) == {2048 + T}


def test_a_readout_counts_beyond_2048():
    linear, x = xpbptt.Linear(1, 1), cupy.ones((T, 100, 1), dtype="float16")
    y, cache = linear.forward(linear.init(0, xp=cupy, dtype="float16"), x)
    grads = linear.backward(cache, cupy.ones_like(y)).params
    assert {float(grads.weight[0, 0]), float(grads.bias[0])} == {4000}
