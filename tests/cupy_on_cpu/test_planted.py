"""Planted mistakes, each of which must be caught: a simulator that hides one is of no use."""

import os
import re
import subprocess
import sys

import cupy
import numpy as np
import pytest

from cupy_on_cpu import build

X = np.linspace(-2, 2, 7, dtype=np.float32)

# In a process of its own, with AddressSanitizer loaded before Python.
SANITIZED = """
import cupy_on_cpu
cupy_on_cpu.install()
import cupy
kernel = cupy.RawKernel(r'''
extern "C" __global__ void fill(float* y, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i %s n) y[i] = 1;
}''', "fill")
y = cupy.empty(100, dtype=cupy.float32)
kernel((2,), (64,), (y, cupy.int32(100)))
print("sum", float(y.sum()))
"""


def double(statement):
    """Make a kernel that is to double its argument, in every place."""
    return cupy.ElementwiseKernel("float32 x", "float32 y", statement, "double_it")


def assert_doubles(kernel):
    np.testing.assert_array_equal(kernel(cupy.asarray(X)).get(), 2 * X)


def test_a_wrong_kernel():
    assert_doubles(double("y = 2 * x"))
    with pytest.raises(AssertionError, match="Mismatched elements: 6 / 7"):
        assert_doubles(double("y = 2 * x * x"))


def test_a_missing_write():
    assert_doubles(double("y = 2 * x"))  # leaves the right result in memory that is freed
    with pytest.raises(AssertionError, match="nan location mismatch"):
        assert_doubles(double("if (i != 3) y = 2 * x"))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64", "complex128"])
def test_memory_that_nobody_wrote_is_nan(dtype):
    assert np.isnan(cupy.empty((3, 4), dtype=dtype).get()).all()
    assert np.isnan(cupy.empty_like(cupy.zeros(2000, dtype=dtype)).get()).all()


def test_a_host_read(counting):
    def clip(x):
        return x / 2 if float(cupy.max(x)) > 1 else x

    with counting() as count:
        clip(cupy.asarray(X))

    assert (count.to_device, count.to_host, count.synchronisations) == (1, 1, 1)
    read = f"{__file__}:{clip.__code__.co_firstlineno + 1}"
    assert count.waits[-2:] == [f"to_host: {read}", f"synchronisations: {read}"]


def run_sanitized(comparison):
    library = subprocess.run(
        [build.compiler(), "-print-file-name=libasan.so"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    environment = os.environ | {
        "LD_PRELOAD": library,
        "ASAN_OPTIONS": "detect_leaks=0",
        "CUPY_ON_CPU_SANITIZE": "1",
        "CUPY_ON_CPU_CUBIN": "",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    command = [sys.executable, "-c", SANITIZED % comparison]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_write_out_of_bounds():
    inside, outside = run_sanitized("<"), run_sanitized("<=")

    assert inside.returncode == 0, inside.stderr
    assert inside.stdout == "sum 100.0\n"
    assert outside.returncode != 0
    assert "AddressSanitizer: heap-buffer-overflow" in outside.stderr
    assert "WRITE of size 4" in outside.stderr
    assert re.search(r"in fill .*kernel\.cu:4", outside.stderr)
