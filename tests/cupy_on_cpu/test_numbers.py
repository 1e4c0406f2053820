"""What CuPy computes on the simulator against NumPy: dtypes, views, kernels of every kind."""

import operator

import cupy
import numpy as np
import pytest
from cupy.cublas import gemm

DTYPES = ["float16", "float32", "float64", "complex64", "complex128"]
TOLERANCE = {2: 4e-3, 4: 1e-5, 8: 1e-13}  # by the bytes of a real number

RANDOM = np.random.default_rng(3)


@pytest.fixture(params=DTYPES)
def dtype(request):
    return np.dtype(request.param)


def draw(dtype, *shape):
    real = RANDOM.standard_normal(shape)
    if dtype.kind == "c":
        return (real + 1j * RANDOM.standard_normal(shape)).astype(dtype)
    return real.astype(dtype)


def assert_close(actual, expected):
    assert isinstance(actual, cupy.ndarray)
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    real = expected.real.dtype.itemsize
    np.testing.assert_allclose(actual.get(), expected, rtol=TOLERANCE[real], atol=TOLERANCE[real])


def both(function, *arrays):
    """Call the same function on CuPy and on NumPy."""
    assert_close(function(cupy, *map(cupy.asarray, arrays)), np.asarray(function(np, *arrays)))


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "true_divide", "maximum"])
def test_two_arguments(name, dtype):
    both(lambda xp, a, b: getattr(xp, name)(a, b), draw(dtype, 5, 3), draw(dtype, 3))


@pytest.mark.parametrize("name", ["exp", "tanh", "sqrt", "abs", "negative", "sin", "log"])
def test_one_argument(name, dtype):
    array = draw(dtype, 4, 3)
    if name in {"sqrt", "log"} and dtype.kind == "f":
        array = np.abs(array) + dtype.type(0.1)
    both(lambda xp, a: getattr(xp, name)(a), array)


@pytest.mark.parametrize("name", ["sinc", "i0"])
def test_what_filters_are_made_of(name):
    both(lambda xp, a: getattr(xp, name)(a), np.linspace(-4, 4, 17))


@pytest.mark.parametrize("axis", [None, 0, 1, (0, 2)])
@pytest.mark.parametrize("name", ["sum", "max", "mean", "prod"])
def test_reductions(name, axis, dtype):
    both(lambda xp, a: getattr(xp, name)(a, axis=axis), draw(dtype, 3, 40, 2) / 4 + 1)


def test_a_reduction_longer_than_a_block():
    both(lambda xp, a: xp.sum(a, axis=1), draw(np.dtype("float64"), 3, 5000))
    both(lambda xp, a: xp.argmax(a).astype(xp.float64), draw(np.dtype("float64"), 3000))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((4, 3), (3, 5)),
        ((3,), (3, 5)),
        ((4, 3), (3,)),
        ((3,), (3,)),
        ((2, 4, 3), (2, 3, 5)),
        ((2, 4, 3), (3, 5)),
        ((6, 1, 4, 3), (2, 3, 5)),
    ],
    ids=str,
)
def test_products(left, right, dtype):
    both(lambda _, a, b: a @ b, draw(dtype, *left), draw(dtype, *right))


def test_products_of_views(dtype):
    a, b = draw(dtype, 3, 4), draw(dtype, 5, 3)
    both(lambda _, a, b: a.T @ b.T, a, b)
    both(lambda _, a, b: a[:, ::2].T @ b[1:4].T, a, b)
    both(lambda _, a, b: a.conj().T @ b[::2].T, a, b)


def test_a_product_into_an_array(dtype):
    a, b = draw(dtype, 3, 4), draw(dtype, 4, 5)
    out = cupy.empty((3, 5), dtype=dtype)
    assert cupy.matmul(cupy.asarray(a), cupy.asarray(b), out=out) is out
    assert_close(out, a @ b)


@pytest.mark.parametrize("transposed", ["N", "T", "H"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_a_product_that_is_added(transposed, dtype):
    a, b, c = (draw(np.dtype(dtype), 3, 3) for _ in range(3))
    operation = {"N": np.asarray, "T": np.transpose, "H": lambda x: x.conj().T}[transposed]
    out = cupy.asarray(c)
    gemm(transposed, "N", cupy.asarray(a), cupy.asarray(b), out=out, alpha=2.0, beta=0.5)
    assert_close(out, (2 * (operation(a) @ b) + np.asarray(0.5, dtype=dtype) * c).astype(dtype))


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8"])
def test_products_of_integers(dtype):
    a, b = RANDOM.integers(0, 9, (140, 3)), RANDOM.integers(0, 9, (3, 130))
    product = cupy.asarray(a.astype(dtype)) @ cupy.asarray(b.astype(dtype))
    np.testing.assert_array_equal(product.get(), a.astype(dtype) @ b.astype(dtype))


@pytest.mark.parametrize("count", [2, 20])
def test_joining(count, dtype):
    both(lambda xp, a: xp.concatenate([a, a[:1]] * count), draw(dtype, 3, 4))
    both(lambda xp, a: xp.stack([a] * count, axis=1), draw(dtype, 3, 4))


def test_writing_into_views(dtype):
    def write(_, a, b):
        c = a.copy()
        c[1:, ::2] = b
        c[0, ...] += 1
        return c

    both(write, draw(dtype, 3, 4), draw(dtype, 2, 2))


def test_an_elementwise_kernel_with_views_several_outputs_and_in_place(dtype):
    kernel = cupy.ElementwiseKernel(
        "T z, T w", "T sum, T difference", "difference = z - w; sum = z + w"
    )
    block, state = draw(dtype, 4, 12), draw(dtype, 4, 3)
    z, w, out = cupy.asarray(block), cupy.asarray(state), cupy.empty((4, 6), dtype=dtype)
    left, right = z[:, 3:6], out[:, 1:4]

    kernel(left, w, left, right)

    expected = block.copy()
    expected[:, 3:6] += state
    assert_close(z, expected)
    assert_close(right, block[:, 3:6] - state)
    assert np.isnan(out.get()[:, 0]).all()


def test_a_fused_function():
    @cupy.fuse(kernel_name="fused")
    def function(x, y):
        return cupy.tanh(x) * y + 1

    both(lambda xp, a, b: function(a, b) if xp is cupy else np.tanh(a) * b + 1,
         draw(np.dtype("float32"), 3, 4), draw(np.dtype("float32"), 3, 4))  # fmt: skip


def test_every_float16_and_back():
    bits = np.arange(2**16, dtype=np.uint16)
    halves = bits.view(np.float16)
    with np.errstate(all="ignore"):
        floats = halves.astype(np.float32)
        between = (floats.view(np.int32) + RANDOM.integers(-5000, 5000, floats.size)).astype(
            np.int32
        )
        between = np.concatenate([between, floats.view(np.int32) + 4096, [0x477FF000, 0x33000001]])
        between = between.astype(np.int32).view(np.float32)
        expected = between.astype(np.float16)
    np.testing.assert_array_equal(cupy.asarray(halves).astype(np.float32).get(), floats)
    np.testing.assert_array_equal(cupy.asarray(between).astype(np.float16).get(), expected)


def test_int32_arithmetic_wraps():
    """As the hash of a dropout mask needs it."""

    def mixed(_, x):
        x = x ^ (x >> 16)
        x = x * 73244475
        x = x ^ (x >> 16)
        return x * 73244475 + 40503

    x = RANDOM.integers(-(2**31), 2**31, 1000).astype(np.int32)
    with np.errstate(over="ignore"):
        expected = mixed(np, x)
    np.testing.assert_array_equal(mixed(cupy, cupy.asarray(x)).get(), expected)


RAW = r"""
extern "C" __global__ void block_sums(const float* x, float* y, int n) {
  extern __shared__ float partial[];
  __shared__ float total;
  const int t = threadIdx.x + blockDim.x * threadIdx.y, threads = blockDim.x * blockDim.y;
  const int i = blockIdx.x * threads + t;
  partial[t] = i < n ? x[i] : 0.0f;
  __syncthreads();
  for (int half = threads / 2; half > 0; half /= 2) {
    if (t < half) partial[t] += partial[t + half];
    __syncthreads();
  }
  if (t == threads - 1) total = partial[0];
  __syncthreads();
  if (i < n) y[i] = total + threadIdx.y;
}
"""


def test_a_raw_kernel_with_barriers_and_shared_memory():
    x = draw(np.dtype("float32"), 200)
    y = cupy.empty(200, dtype=cupy.float32)
    kernel = cupy.RawKernel(RAW, "block_sums")

    kernel((4,), (16, 4), (cupy.asarray(x), y, cupy.int32(200)), shared_mem=64 * 4)

    sums = np.add.reduceat(x, [0, 64, 128, 192])
    place = np.arange(200)
    expected = sums[place // 64] + place % 64 // 16
    np.testing.assert_allclose(y.get(), expected, rtol=1e-5)


def test_a_module_with_templates():
    code = """
    template <typename T> __global__ void twice(T* x) { x[threadIdx.x] *= 2; }
    extern "C" __global__ void thrice(float* x) { x[threadIdx.x] *= 3; }
    """
    module = cupy.RawModule(code=code, name_expressions=["twice<float>", "twice<int>"])
    floats, integers = cupy.ones(3, dtype=cupy.float32), cupy.ones(3, dtype=cupy.int32)

    module.get_function("twice<float>")((1,), (3,), (floats,))
    module.get_function("thrice")((1,), (3,), (floats,))
    module.get_function("twice<int>")((1,), (3,), (integers,))

    assert floats.get().tolist() == [6, 6, 6]
    assert integers.get().tolist() == [2, 2, 2]


def test_dlpack_to_and_from_the_host(dtype):
    array = draw(dtype, 3, 4)
    device = cupy.asarray(array)

    assert device.__dlpack_device__() == (2, 0)  # CUDA
    assert_close(device, array)
    assert_close(cupy.from_dlpack(device), array)
    np.testing.assert_array_equal(np.from_dlpack(device, device="cpu"), array)
    with pytest.raises((BufferError, RuntimeError), match="device"):
        np.from_dlpack(device)
    with pytest.raises(TypeError, match="CPU arrays cannot be directly imported"):
        cupy.from_dlpack(array)


def test_mixing_with_numpy_is_refused():
    array = cupy.ones(3)
    for mix in (operator.add, operator.matmul):
        with pytest.raises(TypeError, match=r"numpy\.ndarray"):
            mix(array, np.ones(3))
    with pytest.raises(TypeError, match="Implicit conversion"):
        np.asarray(array)
