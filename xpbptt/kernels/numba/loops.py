"""The time loop itself compiled by Numba, for one small sequence.

There a product takes less time than the call of it from Python. Larger products are left to NumPy's
BLAS.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from xpbptt._arrays.types import AnyArray
from xpbptt.kernels import loops
from xpbptt.kernels.numba.math import OPTIONS

SMALL = 2**14  # elements of a matrix whose product with a vector is about as fast as by BLAS

SOURCE = """
def forward(rows, weight, product, {names}):
    for t in range(rows.shape[0]):
        multiply(rows[t, 0], weight, product[0])
        step(t, {names})

def backward(rows, weight, product, {names}):
    for t in range(rows.shape[0] - 1, -1, -1):
        step(t, {names})
        multiply(rows[t, 0], weight, product[0])
"""


SINGLE = """
def single({given}):
    u = numpy.empty((1, weight_ih.shape[0]), x.dtype)
    v = numpy.empty((1, weight_hh.shape[0]), x.dtype)
    apply(weight_ih, x[0], u[0])
    apply(weight_hh, {h}[0], v[0])
    step(0, {names})
"""


@numba.njit(**OPTIONS)  # type: ignore[untyped-decorator]
def multiply(left: AnyArray, weight: AnyArray, product: AnyArray) -> None:
    """Multiply a vector (K,) by a matrix (K, N), four rows of the matrix at a time."""
    depth = left.shape[0]
    for j in range(product.shape[0]):
        product[j] = 0
    for k in range(0, depth - 3, 4):
        a0, a1, a2, a3 = left[k], left[k + 1], left[k + 2], left[k + 3]
        w0, w1, w2, w3 = weight[k], weight[k + 1], weight[k + 2], weight[k + 3]
        for j in range(product.shape[0]):
            product[j] += a0 * w0[j] + a1 * w1[j] + a2 * w2[j] + a3 * w3[j]
    for k in range(depth - depth % 4, depth):
        for j in range(product.shape[0]):
            product[j] += left[k] * weight[k, j]


@numba.njit(error_model="numpy", fastmath={"contract", "nsz", "reassoc"})  # type: ignore[untyped-decorator]
def apply(weight: AnyArray, vector: AnyArray, product: AnyArray) -> None:
    """Multiply a matrix (N, K) by a vector (K,), one sum a row."""
    for n in range(product.shape[0]):
        row, total = weight[n], product.dtype.type(0)
        for k in range(vector.shape[0]):
            total += row[k] * vector[k]
        product[n] = total


def forward(step: Any) -> Callable[..., None]:
    """Compile the loop forward around a compiled step, ``run(rows, weight, product, *buffers)``."""
    return _compiled(step, "forward")


def backward(step: Any) -> Callable[..., None]:
    """Compile the loop back around a compiled step, ``run(rows, weight, product, *buffers)``."""
    return _compiled(step, "backward")


def _compiled(step: Any, loop: str) -> Callable[..., None]:
    ((_, *buffers),) = step.signatures
    dtype = next(buffer.dtype for buffer in buffers if buffer.dtype != numba.boolean)
    names: dict[str, Any] = {"multiply": multiply, "step": step}
    exec(SOURCE.format(names=", ".join(f"b{k}" for k in range(len(buffers)))), names)  # noqa: S102 - above
    matrix, rows = (numba.types.Array(dtype, rank, "C") for rank in (2, 3))
    signature = numba.void(rows, matrix, matrix, *buffers)
    run: Callable[..., None] = numba.njit(signature, **OPTIONS)(names[loop])
    return run


def single(step: Any, names: tuple[str, ...], given: tuple[str, ...]) -> Callable[..., None]:
    """Compile the step of a stream around the kernel of a step; see `loops.single`."""
    known: dict[str, Any] = {"apply": apply, "step": step, "numpy": np}
    hidden = given[loops.first_state(given)]
    source = SINGLE.format(given=", ".join(given), h=hidden, names=", ".join(names))
    exec(source, known)  # noqa: S102 - the source is above
    ((_, *kinds),) = step.signatures
    dtype = kinds[-1].dtype  # of what is written
    ranks = (1 if name.startswith(("bias", "extra")) else 2 for name in given)
    signature = numba.void(*(numba.types.Array(dtype, rank, "C") for rank in ranks))
    run: Callable[..., None] = numba.njit(signature, **OPTIONS)(known["single"])
    return run
