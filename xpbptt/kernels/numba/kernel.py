"""Kernels for the CPU: a program as a loop over one step's elements, compiled by Numba."""

import math
from collections.abc import Callable
from typing import Any

import numba

from xpbptt.kernels.emit import INFIX, Language, lines
from xpbptt.kernels.numba import math as vector_math
from xpbptt.kernels.numba import rows as vector_rows
from xpbptt.kernels.numba.math import OPTIONS, select
from xpbptt.kernels.program import Access, Program

OPERATIONS = INFIX | {
    "tanh": "tanh({0})",
    "exp": "exp({0})",
    "sigmoid": "sigmoid({0})",
    "sqrt": "sqrt({0})",
    "abs": "abs({0})",
    "maximum": "select({0} > {1} or {0} != {0}, {0}, {1})",
    "minimum": "select({0} < {1} or {0} != {0}, {0}, {1})",
    "where": "select({0}, {1}, {2})",
    "not": "not {0}",
}


if numba.config.DISABLE_JIT:
    MESSAGE = "NUMBA_DISABLE_JIT is set"
    raise ImportError(MESSAGE)


def compile_(program: Program, dtype: str) -> Callable[..., None]:
    """Compile a program for arrays of a dtype, "float32" or "float64".

    Returns
    -------
    run : callable
        ``run(t, *buffers)`` with the buffers that `program.buffers` names, those that are only
        read first; all as `plain` returns them.
    """
    text, blocks = source(program)
    names: dict[str, Any] = {}
    exec(text, names)  # noqa: S102 - the source is our own, made of numbers and names
    number = getattr(numba, dtype)
    names |= {"number": number, "inf": math.inf, "nan": math.nan, "sqrt": math.sqrt}
    names["select"] = select
    names |= vector_math.functions(dtype) | vector_rows.functions(blocks)
    read, written = program.buffers()
    arguments = (
        numba.types.Array(numba.boolean if buffer.logical else number, len(buffer.axes), "C")
        for buffer in [*read, *written]
    )
    signature = numba.void(numba.intp, *arguments)
    compiled: Callable[..., None] = numba.njit(signature, **OPTIONS)(names[program.name])
    return compiled


def source(program: Program) -> tuple[str, list[str]]:
    """Return the Python source that Numba compiles, and the names of the blocks it accesses."""
    read, written = program.buffers()
    buffers = [*read, *written]
    sized = next(buffer for buffer in buffers if "bj" in buffer.axes)
    rows: dict[str, str] = {}
    blocks: dict[str, None] = {}

    def row(access: Access) -> str:
        """Return the name of the row that an access is to, taken out of the inner loop."""
        parts = [access.buffer.name, *(part.replace(" + ", "") for part in access.row)]
        name = "_".join(["row", *parts])
        index = ", ".join(access.row)
        rows[name] = f"{access.buffer.name}[{index}]" if index else access.buffer.name
        return name

    def block(access: Access) -> str:
        """Return the name of a block of a row."""
        name = f"{row(access)}_{access.block}"
        blocks.setdefault(name)
        return name

    def load(access: Access) -> str:
        if "j" not in access.buffer.axes:
            return row(access)
        return f"load_{block(access)}({row(access)}, {access.column})"

    def store(access: Access, value: str) -> str:
        return f"store_{block(access)}({row(access)}, {access.column}, {value})"

    python = Language(
        assign=lambda name, value, _: f"{name} = {value}",
        constant=lambda value: f"number({value!r})",
        load=load,
        store=store,
        operations=OPERATIONS,
    )
    body = lines(program, python)
    text = "\n".join(
        [
            f"def {program.name}(t, {', '.join(buffer.name for buffer in buffers)}):",
            f"    batch = {sized.name}.shape[{sized.axes.index('b')}]",
            f"    size = {sized.name}.shape[{sized.axes.index('j')}] // {sized.blocks}",
            "    for b in range(batch):",
            *(f"        {name} = {place}" for name, place in rows.items()),
            "        for j in range(size):",
            *(f"            {line}" for line in body),
        ]
    )
    return text, list(blocks)
