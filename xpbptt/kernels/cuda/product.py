"""Products of matrices by cuBLAS, called directly: what CuPy finds out each time is found out once.

The arguments are those that ``cupy.dot`` would give. By default the handle is CuPy's own, with its
math mode and its workspace, and CuPy's binding sets the current stream.
"""

from typing import Any, NamedTuple

import cupy
import numpy as np
from cupy._core import _routines_linalg as linalg
from cupy_backends.cuda.libs import cublas

TYPES = {"float32": 0, "float64": 1, "float16": 2}  # cudaDataType
ONE = {kind: np.ones((), dtype=kind) for kind in ("float32", "float64")}
ZERO = {kind: np.zeros((), dtype=kind) for kind in ("float32", "float64")}
AMPERE, HALF = 80, 70  # from where on CuPy allows the tensor cores: at all, for float16


class Product(NamedTuple):
    """The arguments of ``gemmEx`` around the addresses that change from step to step.

    ``gemm(*before, left, *between, out, *after)`` writes ``left (B, K) · op(weight)`` to
    ``out (B, N)``, all C-contiguous.
    """

    gemm: Any
    before: tuple[Any, ...]
    between: tuple[Any, ...]
    after: tuple[Any, ...]


def refuse_capture() -> None:
    """Refuse to run while the current stream is being captured: CuPy's cuBLAS cannot be.

    Raises
    ------
    RuntimeError
        Where it is.
    """
    if cupy.cuda.get_current_stream().is_capturing():
        message = (
            "the current stream is being captured, and CuPy cannot put a product by cuBLAS into a "
            "graph (cupy issue 6290): end the capture before calling the net, or call the net on "
            "another stream"
        )
        raise RuntimeError(message)


class Caller(NamedTuple):
    """What calls cuBLAS: ``gemm(handle, …)`` with the arguments of ``cublasGemmEx``."""

    gemm: Any
    handle: int


def product(weight: Any, rows: int, *, transposed: bool, caller: Caller | None = None) -> Product:
    """Prepare the products of so many rows with a matrix, or with its transpose.

    Parameters
    ----------
    weight : array
        The matrix, C-contiguous.
    rows : int
        The number of rows B of the other factor.
    transposed : bool
        Whether the transpose is meant.
    caller : Caller, optional
        Default: CuPy.
    """
    # cuBLAS counts by columns: to it, each of the three is its own transpose.
    down, across = weight.shape
    columns, depth = (down, across) if transposed else (across, down)
    kind, compute, tensor = computed(str(weight.dtype))
    scalar = "float64" if weight.dtype == np.float64 else "float32"
    one, zero = ONE[scalar].ctypes.data, ZERO[scalar].ctypes.data
    gemm, handle = caller or (cublas.gemmEx, cupy.cuda.device.get_cublas_handle())
    operation = cublas.CUBLAS_OP_T if transposed else cublas.CUBLAS_OP_N
    sizes = columns, rows, depth
    first = weight.data.ptr, kind, across
    return Product(
        gemm,
        (handle, operation, cublas.CUBLAS_OP_N, *sizes, one, *first),
        (kind, depth, zero),
        (kind, columns, compute, tensor),
    )


def computed(dtype: str) -> tuple[int, int, int]:
    """Return the types of the elements and of the sums, and the choice of the algorithm."""
    capability = int(cupy.cuda.device.get_compute_capability())
    wanted = linalg.get_compute_type(dtype)  # CUPY_TF32 decides it
    double = dtype == "float64"
    compute = cublas.CUBLAS_COMPUTE_64F if double else cublas.CUBLAS_COMPUTE_32F
    if wanted == linalg.COMPUTE_TYPE_PEDANTIC:
        pedantic = cublas.CUBLAS_COMPUTE_64F_PEDANTIC, cublas.CUBLAS_COMPUTE_32F_PEDANTIC
        compute = pedantic[0 if double else 1]
    elif wanted == linalg.COMPUTE_TYPE_TF32 and dtype == "float32":
        compute = cublas.CUBLAS_COMPUTE_32F_FAST_TF32
    tensor = capability >= (HALF if dtype == "float16" else AMPERE)
    algorithm = cublas.CUBLAS_GEMM_DEFAULT_TENSOR_OP if tensor else cublas.CUBLAS_GEMM_DEFAULT
    return TYPES[dtype], compute, algorithm
