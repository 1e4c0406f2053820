"""A program as CUDA C++: its literals, its functions and the elements of its buffers."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from xpbptt.kernels.emit import INFIX, Language
from xpbptt.kernels.places import FACTORS, RESET
from xpbptt.kernels.program import Access, Buffer
from xpbptt.kernels.programs import Task
from xpbptt.kernels.symbols import UNARY

OPERATIONS = INFIX | {
    **{name: f"{name}({{0}})" for name in UNARY - {"abs"}},
    "sigmoid": "sigmoid({0})",
    "pow": "pow({0}, {1})",
    "abs": "fabs({0})",
    "maximum": "({0} > {1} || {0} != {0}) ? {0} : {1}",
    "minimum": "({0} < {1} || {0} != {0}) ? {0} : {1}",
    "where": "{0} ? {1} : {2}",
    "not": "!{0}",
}

# exp(-|x|) does not overflow, and small values keep their precision.
PREAMBLE = """
template <typename T> __device__ T sigmoid(T x) {
  const T e = exp(-fabs(x));
  return (x < T(0) ? e : T(1)) / (T(1) + e);
}
"""


FORWARD = frozenset({"record", "advance"})  # the kinds that run forward


def name(task: Task, loop: str = "sequence") -> str:
    """Return the name of the kernel that runs a program in a loop over time."""
    return f"xpbptt_{task.program.name.removesuffix(task.kind)}{loop}_{task.kind}"


def buffers(task: Task) -> tuple[list[Buffer], list[Buffer]]:
    """Return the buffers that a loop over all steps only reads, and those that it writes.

    They are the program's, and those of resets and recurrent dropout, which are done between two
    steps: what W_hh multiplies forward, and what is handed back.
    """
    read, written = task.program.buffers()
    forward = task.kind in FORWARD
    between = _named(task.given if forward else task.given_back)
    returned = [] if forward else _named(task.returned)
    return list(dict.fromkeys((*read, *between))), list(dict.fromkeys((*written, *returned)))


def _named(names: tuple[str, ...]) -> list[Buffer]:
    known = {each.name: each for each in (RESET, FACTORS)}
    return [known.get(name, Buffer(name, "bj")) for name in names]


def header(dtype: str) -> str:
    """Return the header that the types of a dtype take."""
    return "#include <cupy/float16.cuh>" if dtype == "float16" else ""


def number(dtype: str) -> str:
    """Return the type that is computed in: that of the dtype, of float16 a float."""
    return "double" if dtype == "float64" else "float"


def own_type(dtype: str) -> str:
    """Return the type of the elements of a dtype."""
    return {"float32": "float", "float64": "double"}.get(dtype, dtype)


def stored(buffer: Buffer, dtype: str) -> str:
    """Return the type of a buffer's elements."""
    return "bool" if buffer.logical else own_type(dtype)


def pointers(given: Sequence[tuple[str, str]], directions: int) -> tuple[list[str], list[str]]:
    """Return arrays as parameters of a kernel, and the lines that choose those of a block.

    Parameters
    ----------
    given : sequence of (str, str)
        The type and the name of each.
    directions : int
        1, or 2 for a kernel that takes each array twice: the blocks of plane z of the grid work on
        the ones of direction z.
    """
    if directions == 1:
        return [f"{kind} {name}" for kind, name in given], []
    twice = [f"{kind} {name}_{z}" for kind, name in given for z in range(directions)]
    return twice, [f"{kind} {name} = blockIdx.z ? {name}_1 : {name}_0;" for kind, name in given]


def place(access: Access) -> str:
    """Return the expression of the place of an element in its buffer.

    It is made of the step `t`, the sequence `b`, the unit `j`, and the sizes `batch` and `size`.
    """
    buffer = access.buffer
    lengths = {"b": "batch", "j": f"{buffer.blocks} * size"}
    whole = (*access.row, access.column) if "j" in buffer.axes else access.row
    found, *rest = whole or ("0",)
    for axis, each in zip(buffer.axes.replace("1", "")[1:], rest, strict=True):
        found = f"({found}) * {lengths[axis]} + {each}"
    return found


def element(access: Access) -> str:
    """Return the expression of an element of a buffer that the structure `frame` points to."""
    return f"frame.{access.buffer.name}[{place(access)}]"


class Entry(NamedTuple):
    """How the kernel of a step is told what to work on, in a structure ``Frame frame``.

    Attributes
    ----------
    fields : tuple of str
        What the structure holds before the addresses of the program's buffers.
    parameters : str
        What the kernel takes.
    begin : str
        The lines that make `frame`, if it is no parameter, and the number of the step `t`.
    load, store : callable
        The expression of an element; the line that writes an expression there.
    """

    fields: tuple[str, ...]
    parameters: str
    begin: str
    load: Callable[[Access], str]
    store: Callable[[Access, str], str]


def language(
    dtype: str, load: Callable[[Access], str], store: Callable[[Access, str], str]
) -> Language:
    """Return CUDA C++, given the expression of an element and the line that writes to it."""
    kind = number(dtype)

    def constant(value: float) -> str:
        if math.isnan(value):
            return "(0.0 / 0.0)"
        return f"{kind}({value!r})" if math.isfinite(value) else f"({'-' * (value < 0)}1.0 / 0.0)"

    return Language(
        assign=lambda name, value, logical: (
            f"const {'bool' if logical else kind} {name} = {value};"
        ),
        constant=constant,
        load=load,
        store=store,
        operations=OPERATIONS,
    )
