"""The target for CuPy's arrays: a whole sequence in one launch, or two launches a step."""

import cupy

from xpbptt.kernels.cuda.sequence import SEQUENCE
from xpbptt.kernels.cuda.step import single
from xpbptt.kernels.cuda.stepwise import STEPWISE
from xpbptt.kernels.target import Target

TARGET = Target(
    name="CUDA",
    dtypes=tuple(cupy.dtype(name) for name in ("float16", "float32", "float64")),
    loops=(SEQUENCE, STEPWISE),
    single=single,
    multiply=lambda left, right, out: left.dot(right, out=out),
    empty=cupy.empty,
    plain=cupy.ascontiguousarray,
)
