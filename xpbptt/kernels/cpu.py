"""Kernels for the CPU: a program as a loop over one step's elements, compiled by Numba."""

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from xpbptt.kernels import cpu_math, cpu_rows
from xpbptt.kernels.cpu_math import OPTIONS, select
from xpbptt.kernels.emit import INFIX, Language, lines
from xpbptt.kernels.program import Access, Program

OPERATIONS = INFIX | {
    "tanh": "tanh({0})",
    "exp": "exp({0})",
    "sqrt": "sqrt({0})",
    "abs": "abs({0})",
    "maximum": "select({0} > {1} or {0} != {0}, {0}, {1})",
    "minimum": "select({0} < {1} or {0} != {0}, {0}, {1})",
    "where": "select({0}, {1}, {2})",
}


DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


def plain(array: Any) -> Any:
    """Return the array as a kernel takes it: contiguous, aligned, writable and no subclass."""
    if type(array) is np.ndarray and array.flags.carray:
        return array
    return np.require(array, requirements=["C", "A", "W"])


def kernel(program: Program, dtype: str) -> Callable[..., None]:
    """Compile a program for arrays of a dtype, "float32" or "float64".

    Returns
    -------
    run : callable
        ``run(t, *buffers)`` with the buffers that `program.buffers` names, those that are only
        read first; all as `plain` returns them.
    """
    text, rows = source(program)
    names: dict[str, Any] = {}
    exec(text, names)  # noqa: S102 - the source is our own, made of numbers and names
    number = getattr(numba, dtype)
    names |= {"number": number, "inf": math.inf, "nan": math.nan, "sqrt": math.sqrt}
    names["select"] = select
    names |= cpu_math.functions(dtype) | cpu_rows.functions(rows)
    read, written = program.buffers()
    arguments = (
        numba.types.Array(numba.boolean if buffer.name == "mask" else number, len(buffer.axes), "C")
        for buffer in [*read, *written]
    )
    signature = numba.void(numba.intp, *arguments)
    compiled: Callable[..., None] = numba.njit(signature, **OPTIONS)(names[program.name])
    return compiled


def source(program: Program) -> tuple[str, list[str]]:
    """Return the Python source that Numba compiles, and the names of the rows it works on."""
    read, written = program.buffers()
    buffers = [*read, *written]
    sized = next(buffer for buffer in buffers if {"b", "j"} <= set(buffer.axes))
    rows: dict[str, str] = {}

    def row(access: Access) -> str:
        """Return the name of what an access is to, which is taken out of the inner loop."""
        index = [part for part in access.place if part != "j"]
        name = "_".join(["row", access.buffer.name, *(part.replace(" + ", "") for part in index)])
        rows[name] = f"{access.buffer.name}[{', '.join(index)}]" if index else access.buffer.name
        return name

    def load(access: Access) -> str:
        name = row(access)
        return f"load_{name}({name}, j)" if "j" in access.place else name

    python = Language(
        assign=lambda name, value, _: f"{name} = {value}",
        constant=lambda value: f"number({value!r})",
        load=load,
        store=lambda access, value: f"store_{row(access)}({row(access)}, j, {value})",
        operations=OPERATIONS,
    )
    body = lines(program, python)
    text = "\n".join(
        [
            f"def {program.name}(t, {', '.join(buffer.name for buffer in buffers)}):",
            f"    batch = {sized.name}.shape[{sized.axes.index('b')}]",
            f"    size = {sized.name}.shape[{sized.axes.index('j')}]",
            "    for b in range(batch):",
            *(f"        {name} = {place}" for name, place in rows.items()),
            "        for j in range(size):",
            *(f"            {line}" for line in body),
        ]
    )
    return text, list(rows)
