"""Kernels for CuPy: a program as the body of a ``cupy.ElementwiseKernel``.

The buffers are raw arguments, indexed by the number of the step: nothing has to be sliced in the
time loop, and one launch takes a handful of pointers.
"""

import math
from collections.abc import Callable
from typing import Any

import cupy

from xpbptt._arrays.tree import map_leaves
from xpbptt.kernels import loops
from xpbptt.kernels.emit import INFIX, Language, lines
from xpbptt.kernels.program import Access, Buffer, Program
from xpbptt.kernels.programs import Task
from xpbptt.kernels.target import Kernel

OPERATIONS = INFIX | {
    "tanh": "tanh({0})",
    "exp": "exp({0})",
    "sigmoid": "sigmoid({0})",
    "sqrt": "sqrt({0})",
    "abs": "fabs({0})",
    "maximum": "({0} > {1} || {0} != {0}) ? {0} : {1}",
    "minimum": "({0} < {1} || {0} != {0}) ? {0} : {1}",
    "where": "{0} ? {1} : {2}",
    "not": "!{0}",
}

# exp(-|x|) does not overflow, and small values keep their precision.
SIGMOID = """
template <typename T> __device__ T sigmoid(T x) {
  const T e = exp(-fabs(x));
  return (x < T(0) ? e : T(1)) / (T(1) + e);
}
"""


def single(kernel: Kernel, given: tuple[str, ...]) -> Callable[..., None]:
    """Return the step of a stream, see `loops`."""
    step = loops.single(kernel, given)

    def plain(x_t: Any, params: Any, state: Any, new: Any) -> None:
        return step(*map_leaves(cupy.ascontiguousarray, (x_t, params, state, new)))

    return plain


def compile_(task: Task, dtype: str) -> Callable[..., None]:
    """Compile a program for arrays of a dtype, "float16", "float32" or "float64".

    float16 is computed in float32, and rounded where it is stored.

    Returns
    -------
    run : callable
        ``run(t, *buffers)`` with the buffers that `program.buffers` names, those that are only
        read first; all C-contiguous.
    """
    program = task.program
    read, written = program.buffers()
    compiled = cupy.ElementwiseKernel(
        ", ".join(["int64 t", "int64 batch", "int64 size", *(_argument(b, dtype) for b in read)]),
        ", ".join(_argument(buffer, dtype) for buffer in written),
        source(program, dtype),
        f"xpbptt_{program.name}",
        preamble=SIGMOID,
    )
    buffers = [*read, *written]
    place, sized = next((k, buffer) for k, buffer in enumerate(buffers) if "bj" in buffer.axes)
    b, j = sized.axes.index("b"), sized.axes.index("j")

    def run(t: int, *arrays: Any) -> None:
        shape = arrays[place].shape
        batch, size = shape[b], shape[j] // sized.blocks
        compiled(t, batch, size, *arrays, size=batch * size)

    run(0, *(_smallest(buffer, dtype) for buffer in buffers))  # CuPy compiles at the first launch
    return run


def source(program: Program, dtype: str) -> str:
    """Return the C++ source for element `i` of the B·H elements of a step."""
    number = "double" if dtype == "float64" else "float"

    def constant(value: float) -> str:
        if math.isnan(value):
            return "(0.0 / 0.0)"
        return f"{number}({value!r})" if math.isfinite(value) else f"({'-' * (value < 0)}1.0 / 0.0)"

    cuda = Language(
        assign=lambda name, value, logical: (
            f"const {'bool' if logical else number} {name} = {value};"
        ),
        constant=constant,
        load=_element,
        store=lambda access, value: f"{_element(access)} = {value};",
        operations=OPERATIONS,
    )
    place = ["const ptrdiff_t b = i / size;", "const ptrdiff_t j = i - b * size;"]
    return "\n".join([*place, *lines(program, cuda)])


def _smallest(buffer: Buffer, dtype: str) -> Any:
    """Return an array for a step of one sequence and one unit, with the step after it."""
    lengths: dict[Any, int] = {"t": 2, "b": 1, "j": 1}
    shape = tuple(lengths.get(axis, axis) for axis in buffer.axes)
    return cupy.empty(shape, dtype=_dtype(buffer, dtype))


def _dtype(buffer: Buffer, dtype: str) -> str:
    return "bool" if buffer.logical else dtype


def _argument(buffer: Buffer, dtype: str) -> str:
    return f"raw {_dtype(buffer, dtype)} {buffer.name}"


def _element(access: Access) -> str:
    """Return the C++ expression of an element of a buffer."""
    lengths = {"b": "batch", "j": f"{access.buffer.blocks} * size"}
    place, *rest = (*access.row, access.column) if "j" in access.buffer.axes else access.row
    for axis, index in zip(access.buffer.axes[1:], rest, strict=True):
        place = f"({place}) * {lengths[axis]} + {index}"
    return f"{access.buffer.name}[{place}]"
