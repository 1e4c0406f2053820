"""cuBLAS, played by NumPy: products of matrices, in the column order of Fortran.

The functions have the names and arguments of ``cupy_backends.cuda.libs.cublas``, whose place this
module takes. float16 is multiplied and summed in float32, as the tensor cores do.
"""

import ctypes
import itertools
import sys
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from . import capture, counters

CUBLAS_OP_N, CUBLAS_OP_T, CUBLAS_OP_C = 0, 1, 2
CUBLAS_POINTER_MODE_HOST, CUBLAS_POINTER_MODE_DEVICE = 0, 1
CUBLAS_DEFAULT_MATH, CUBLAS_TENSOR_OP_MATH = 0, 1
CUBLAS_GEMM_DEFAULT, CUBLAS_GEMM_DEFAULT_TENSOR_OP = -1, 99
CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_32F_PEDANTIC, CUBLAS_COMPUTE_32F_FAST_TF32 = 68, 69, 77
CUBLAS_COMPUTE_64F, CUBLAS_COMPUTE_64F_PEDANTIC = 70, 71

# cudaDataType
TYPES = {0: np.float32, 1: np.float64, 2: np.float16, 4: np.complex64, 5: np.complex128}
# The types of alpha and beta: cublasComputeType, or in the older functions a cudaDataType.
SINGLE = (CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_32F_PEDANTIC, CUBLAS_COMPUTE_32F_FAST_TF32, 0, 4)

_handles = itertools.count(0x1000, 16)
_pointer_modes: dict[int, int] = {}


class Matrix(NamedTuple):
    """A matrix in memory: its address, type, leading dimension and what to do with it."""

    pointer: int
    dtype: Any
    leading: int
    operation: int = CUBLAS_OP_N

    def view(self, rows: int, columns: int) -> np.ndarray:
        """Return the memory as an array; `rows` and `columns` are those after the operation."""
        dtype = np.dtype(self.dtype)
        if self.operation != CUBLAS_OP_N:
            rows, columns = columns, rows
        if self.leading < max(1, rows):
            message = f"CUBLAS_STATUS_INVALID_VALUE: leading dimension {self.leading} < {rows} rows"
            raise RuntimeError(message)
        size = ((columns - 1) * self.leading + rows) * dtype.itemsize
        flat = np.frombuffer((ctypes.c_char * size).from_address(self.pointer), dtype)
        strides = (dtype.itemsize, self.leading * dtype.itemsize)
        array = np.lib.stride_tricks.as_strided(flat, (rows, columns), strides)
        if self.operation == CUBLAS_OP_C:
            return array.conj().T
        return array.T if self.operation == CUBLAS_OP_T else array


def create() -> int:
    """Return a handle."""
    return next(_handles)


def destroy(handle: int, modes: dict[int, int] = _pointer_modes) -> None:
    """Forget a handle; may be called when the interpreter has cleared this module."""
    modes.pop(handle, None)


def setStream(handle: int, stream: int) -> None:
    """Do nothing: as in CuPy's module, every product goes to the current stream."""


def setMathMode(handle: int, mode: int) -> None:
    """Do nothing: there is one way to multiply."""


def getPointerMode(handle: int) -> int:
    """Return whether alpha and beta lie on the host."""
    return _pointer_modes.get(handle, CUBLAS_POINTER_MODE_HOST)


def setPointerMode(handle: int, mode: int) -> None:
    """Set whether alpha and beta lie on the host; the simulator reads them on either side."""
    _pointer_modes[handle] = mode


def gemmEx(
    handle, ta, tb, m, n, k, alpha, A, A_type, lda, B, B_type, ldb, beta, C, C_type, ldc, compute, _
):
    """Set C to alpha op(A) op(B) + beta C."""
    _gemm(*arguments(ta, tb, m, n, k, alpha, A, A_type, lda, B, B_type, ldb, beta, C, C_type, ldc,
                     compute))  # fmt: skip


def arguments(
    ta, tb, m, n, k, alpha, A, A_type, lda, B, B_type, ldb, beta, C, C_type, ldc, compute
) -> tuple[Any, ...]:
    """Return what `multiply` takes; alpha and beta are read here, as cuBLAS does on the host."""
    a, b = Matrix(A, TYPES[A_type], lda, ta), Matrix(B, TYPES[B_type], ldb, tb)
    c, scalar = Matrix(C, TYPES[C_type], ldc), _scalar_type(TYPES[C_type], compute)
    return m, n, k, _read(alpha, scalar), a, b, _read(beta, scalar), c


def gemmStridedBatchedEx(
    handle, ta, tb, m, n, k,
    alpha, A, A_type, lda, A_stride, B, B_type, ldb, B_stride,
    beta, C, C_type, ldc, C_stride, count, compute, algorithm,
):  # fmt: skip
    """Do the same for matrices that follow each other at equal distances."""
    steps = [
        stride * np.dtype(TYPES[kind]).itemsize
        for stride, kind in ((A_stride, A_type), (B_stride, B_type), (C_stride, C_type))
    ]
    for i in range(count):
        a, b, c = (pointer + i * step for pointer, step in zip((A, B, C), steps, strict=True))
        gemmEx(
            handle, ta, tb, m, n, k, alpha, a, A_type, lda, b, B_type, ldb,
            beta, c, C_type, ldc, compute, algorithm,
        )  # fmt: skip


def _typed(dtype, handle, ta, tb, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc):
    a, b = Matrix(A, dtype, lda, ta), Matrix(B, dtype, ldb, tb)
    _gemm(m, n, k, _read(alpha, dtype), a, b, _read(beta, dtype), Matrix(C, dtype, ldc))


def _typed_batched(dtype, handle, ta, tb, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc, count):
    table = (ctypes.c_size_t * count).from_address
    for a, b, c in zip(table(A), table(B), table(C), strict=True):
        _typed(dtype, handle, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)


sgemm, sgemmBatched = partial(_typed, np.float32), partial(_typed_batched, np.float32)
dgemm, dgemmBatched = partial(_typed, np.float64), partial(_typed_batched, np.float64)
cgemm, cgemmBatched = partial(_typed, np.complex64), partial(_typed_batched, np.complex64)
zgemm, zgemmBatched = partial(_typed, np.complex128), partial(_typed_batched, np.complex128)


def __getattr__(name: str) -> Any:
    """Refuse by name what is not here."""
    if name.startswith("__"):
        raise AttributeError(name)
    message = f"cuBLAS's {name} is not in the simulator: add it to {__file__}"
    raise NotImplementedError(message)


def install() -> None:
    """Take the place of CuPy's module, which would need the library."""
    import cupy_backends.cuda.libs as parent  # noqa: PLC0415

    sys.modules["cupy_backends.cuda.libs.cublas"] = parent.cublas = sys.modules[__name__]


def _scalar_type(dtype: Any, compute: int) -> Any:
    if np.issubdtype(dtype, np.complexfloating):
        return np.complex64 if compute in SINGLE else np.complex128
    return np.float32 if compute in SINGLE else np.float64


def _read(pointer: int, dtype: Any) -> Any:
    dtype = np.dtype(dtype)
    return np.frombuffer((ctypes.c_char * dtype.itemsize).from_address(pointer), dtype)[0]


def _gemm(*given):
    """Multiply on the current stream, which must not be captured: CuPy refuses that."""
    from cupy.cuda import get_current_stream  # noqa: PLC0415

    stream = get_current_stream().ptr
    if capture.capturing(stream):
        message = "calling cuBLAS API during stream capture is currently unsupported"
        raise NotImplementedError(message)
    capture.check_legacy(stream)
    counters.add("products", stream)
    multiply(*given)


def multiply(m, n, k, alpha, a, b, beta, c):
    """Set c to alpha a b + beta c."""
    left, right, out = a.view(m, k), b.view(k, n), c.view(m, n)
    if left.dtype == np.float16:
        left, right = left.astype(np.float32), right.astype(np.float32)
    with np.errstate(all="ignore"):  # cuBLAS warns of nothing
        product = left @ right
    if alpha != 1:
        product *= alpha
    if beta != 0:  # otherwise C may be NaN
        product += beta * out
    out[...] = product
