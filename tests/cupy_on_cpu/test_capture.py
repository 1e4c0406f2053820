"""Stream capture in the simulator: what a graph does, and what CUDA forbids meanwhile."""

import ctypes
import gc

import cupy
import numpy as np
import pytest
from cupy_backends.cuda.api import runtime

from cupy_on_cpu import counting, libcublas
from xpbptt.kernels.cuda.blas import SIGNATURES, memory

ADD = r"""
struct Two { double first, second; };
extern "C" __global__ void add(double* y, const Two by, const int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] += by.first + by.second;
}"""


@pytest.fixture
def stream():
    return cupy.cuda.Stream(non_blocking=True)


def test_what_is_recorded_is_done_at_each_launch_and_not_before(stream):
    x, y = cupy.arange(4, dtype="float32"), cupy.zeros(4, dtype="float32")
    with stream:
        stream.begin_capture()
        assert stream.is_capturing()
        cupy.add(y, x, out=y)
        x[...] = y
        graph = stream.end_capture()
    assert not stream.is_capturing()
    assert not y.any()
    with counting() as count:
        graph.launch()
        graph.launch(cupy.cuda.Stream(non_blocking=True))
    np.testing.assert_array_equal(y.get(), 2 * np.arange(4))
    np.testing.assert_array_equal(x.get(), 2 * np.arange(4))
    assert count.graphs == 2
    assert count.nodes == {"cupy_add__float32_float32_float32": 2, "copy": 2}
    assert not count.launches
    assert not count.on_device


def test_arguments_are_copied_and_what_they_point_to_is_not(stream):
    kernel = cupy.RawKernel(ADD, "add")
    y, by = cupy.zeros(3), np.empty((), dtype="V16")
    words = np.frombuffer(by, dtype=np.float64)
    stream.begin_capture()
    for value in (1.0, 10.0):
        words[:] = value, 100.0
        kernel.kernel((1,), (4,), (y, by, 3), stream=stream)
    graph = stream.end_capture()
    words[:] = 1e6
    del by, words
    gc.collect()
    y += 5
    graph.launch()
    np.testing.assert_array_equal(y.get(), [216.0] * 3)


FORBIDDEN = {
    "StreamSynchronize": lambda s: s.synchronize(),
    "DeviceSynchronize": lambda _: cupy.cuda.Device().synchronize(),
    "MallocAsync": lambda s: runtime.mallocAsync(8, s.ptr),
    "an array to the host": lambda _: X.get(),
    "a number to the host": lambda _: float(X[0]),
    "an array from the host": lambda _: cupy.asarray(np.ones(3)),
    "a product by CuPy": lambda _: X.dot(X),
    "an event": lambda s: s.record(),
    "a second capture": lambda s: s.begin_capture(),
}
X = cupy.ones((3, 3))


@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_cuda_or_cupy_forbids_meanwhile_raises(name, stream):
    with stream:
        stream.begin_capture()
        with pytest.raises((RuntimeError, NotImplementedError)):
            FORBIDDEN[name](stream)
        if name in {"StreamSynchronize", "DeviceSynchronize", "MallocAsync", "an event"}:
            with pytest.raises(RuntimeError, match="Invalidated"):
                stream.end_capture()
        else:
            stream.end_capture()
    assert not stream.is_capturing()


def test_the_default_stream_is_not_captured_and_what_waits_for_it_breaks_a_capture(stream):
    with pytest.raises(RuntimeError, match="default"):
        cupy.cuda.Stream.null.begin_capture()
    stream.begin_capture()
    assert float((X + 1)[0, 0]) == 2  # it does not wait for a non-blocking stream
    stream.end_capture()

    blocking = cupy.cuda.Stream()
    blocking.begin_capture()
    with pytest.raises(RuntimeError, match="Implicit"):
        X + 1
    with pytest.raises(RuntimeError, match="Invalidated"):
        blocking.end_capture()


def test_an_end_without_a_beginning(stream):
    with pytest.raises(RuntimeError, match="IllegalState"):
        stream.end_capture()


@pytest.fixture
def handle():
    """Make a handle; return it with the library."""
    library, made = ctypes.CDLL(libcublas.path()), ctypes.c_void_p()
    assert called(library, "cublasCreate_v2", ctypes.addressof(made)) == 0
    return made.value, library


def called(library, name, *arguments):
    function = library[name]
    function.argtypes = SIGNATURES[name]
    return function(*arguments)


def test_a_product_is_recorded_only_with_a_workspace_that_the_stream_has_not_taken_away(
    stream, handle
):
    number, library = handle
    a, out = cupy.asarray(np.arange(6.0).reshape(2, 3)), cupy.zeros((2, 2))
    one, zero = np.ones(()), np.zeros(())
    matrices = [a.data.ptr, 1, 3, a.data.ptr, 1, 3, zero.ctypes.data, out.data.ptr, 1, 2, 70, -1]
    given = [number, 1, 0, 2, 2, 3, one.ctypes.data, *matrices]
    workspace = memory(1024)

    def multiply():
        stream.begin_capture()
        status = called(library, "cublasGemmEx", *given)
        return status, stream.end_capture()

    assert called(library, "cublasSetWorkspace_v2", number, workspace.ptr, 1024) == 0
    assert called(library, "cublasSetStream_v2", number, stream.ptr) == 0
    assert multiply()[0] == libcublas.ALLOC_FAILED
    assert called(library, "cublasSetWorkspace_v2", number, workspace.ptr + 8, 64) == 7
    assert called(library, "cublasSetWorkspace_v2", number, workspace.ptr, 1 << 30) == 7
    assert called(library, "cublasSetWorkspace_v2", number, workspace.ptr, 1024) == 0
    status, graph = multiply()
    one[...] = 7  # alpha was read when the product was asked for
    with counting() as count:
        graph.launch()
    assert status == 0
    assert (count.nodes, count.products) == ({"product": 1}, 0)
    np.testing.assert_array_equal(out.get(), a.get() @ a.get().T)
    assert called(library, "cublasGemmEx", number + 1, *given[1:]) == 1
    assert not libcublas.errors
