"""The target for CuPy's arrays: a whole sequence in one launch, or two launches a step.

By hand, the launches of some steps can be made one launch of a graph.
"""

from typing import Any

import cupy

from xpbptt._arrays.types import AnyArray
from xpbptt.kernels.cuda.graph import GRAPH
from xpbptt.kernels.cuda.sequence import SEQUENCE
from xpbptt.kernels.cuda.step import single
from xpbptt.kernels.cuda.stepwise import STEPWISE
from xpbptt.kernels.cuda.tile import LOAD
from xpbptt.kernels.target import Target


def _empty(shape: tuple[int, ...], dtype: Any, *, like: AnyArray) -> AnyArray:
    with like.device:
        return cupy.empty(shape, dtype)


def _plain(array: AnyArray) -> AnyArray:
    """Return an array without gaps from where the kernels may read 16 bytes at once."""
    found = cupy.ascontiguousarray(array)
    return found.copy() if found.data.ptr % LOAD else found


TARGET = Target(
    name="CUDA",
    dtypes=tuple(cupy.dtype(name) for name in ("float16", "float32", "float64")),
    loops=(SEQUENCE, STEPWISE, GRAPH),
    single=single,
    multiply=lambda left, right, out: left.dot(right, out=out),
    empty=_empty,
    plain=_plain,
)
