"""The target for CuPy's arrays: a kernel and a product by cuBLAS a step, launched from Python."""

from typing import Any

import cupy

from xpbptt._arrays.types import AnyArray
from xpbptt.kernels import loops
from xpbptt.kernels.cuda.kernel import compile_, single
from xpbptt.kernels.target import Target

STEPWISE = loops.loop(compile_, cupy.ascontiguousarray, xp=cupy)


def _empty(shape: tuple[int, ...], dtype: Any, *, like: AnyArray) -> AnyArray:
    with like.device:
        return cupy.empty(shape, dtype)


TARGET = Target(
    name="CUDA",
    dtypes=tuple(cupy.dtype(name) for name in ("float16", "float32", "float64")),
    loops=(STEPWISE,),
    single=single,
    multiply=lambda left, right, out: left.dot(right, out=out),
    empty=_empty,
    plain=cupy.ascontiguousarray,
)
