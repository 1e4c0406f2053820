"""Kernels for the CPU: a program as a loop over one step's elements, compiled by Numba."""

import logging
import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba.core.compiler_lock import global_compiler_lock

from xpbptt._arrays.once import hold_over_fork, once
from xpbptt.kernels import loops
from xpbptt.kernels.emit import INFIX, Language, lines
from xpbptt.kernels.numba import loops as cpu_loops
from xpbptt.kernels.numba import math as cpu_math
from xpbptt.kernels.numba import rows as cpu_rows
from xpbptt.kernels.numba.math import OPTIONS, select
from xpbptt.kernels.program import Access, Program

Array = Any
Given = tuple[Array, ...]
Run = Callable[..., None]

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

hold_over_fork(global_compiler_lock)

log = logging.getLogger("xpbptt")

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
AT_ONCE = 2**19  # so much stays in the cache, and is no fresh memory each time


# BLAS works on what happens to lie beside small matrices, and NumPy warns of it.
quiet = np.errstate(all="ignore")

empty = np.empty


def plain(array: Any) -> Any:
    """Return the array as a kernel takes it: contiguous, aligned, writable and no subclass."""
    if type(array) is np.ndarray and array.flags.carray:
        return array
    return np.require(array, requirements=["C", "A", "W", "E"])


@quiet
def forward(run: Run, given: Given, rows: Array, weight: Array, product: Array) -> None:
    """Run the time loop of `loops`, compiled if it is small."""
    whole = _whole(cpu_loops.forward, run) if cpu_loops.small(rows, weight) else None
    if whole is None:
        loops.forward(run, given, rows, weight, product)
    else:
        whole(rows, plain(weight), product, *given)


@quiet
def backward(
    run: Run,
    given: Given,
    rows: Array,
    weight: Array,
    product: Array,
    after: Callable[[int], None] | None = None,
) -> None:
    """Run the time loop of `loops`, compiled if it is small and nothing comes between."""
    small = after is None and cpu_loops.small(rows, weight)
    whole = _whole(cpu_loops.backward, run) if small else None
    if whole is None:
        loops.backward(run, given, rows, weight, product, after)
    else:
        whole(rows, plain(weight), product, *given)


def single(run: Run, names: tuple[str, ...], given: tuple[str, ...]) -> Run:
    """Return the step of a stream, compiled as a whole for one small sequence."""
    large = quiet(loops.single(run, names, given))
    small = _whole(cpu_loops.single, run, names, given) or large

    def step(x: Array, weight_ih: Array, *others: Array) -> None:
        function = small if x.shape[0] == 1 and weight_ih.size <= cpu_loops.SMALL else large
        try:
            function(x, weight_ih, *others)
        except TypeError:  # an array is not plain; Numba says so before it runs
            function(*map(plain, (x, weight_ih, *others)))

    return step


@once
def _whole(build: Callable[..., Run], *around: Any) -> Run | None:
    """Compile a loop around a kernel; None, which is said, if that fails."""
    try:
        return build(*around)
    except Exception as error:  # noqa: BLE001 - a compiler may raise anything
        first, _, _ = str(error).strip().partition("\n")
        _warn_once(f"{type(error).__name__}: {first}")
        return None


@once
def _warn_once(reason: str) -> None:
    log.warning("a compiled loop could not be built, so Python runs it, slower: %s", reason)


def kernel(program: Program, dtype: str) -> Callable[..., None]:
    """Compile a program for arrays of a dtype, "float32" or "float64".

    Returns
    -------
    run : callable
        ``run(t, *buffers)`` with the buffers that `program.buffers` names, those that are only
        read first; all as `plain` returns them.
    """
    text, spans = source(program)
    names: dict[str, Any] = {}
    exec(text, names)  # noqa: S102 - the source is our own, made of numbers and names
    number = getattr(numba, dtype)
    names |= {"number": number, "inf": math.inf, "nan": math.nan, "sqrt": math.sqrt}
    names["select"] = select
    names |= cpu_math.functions(dtype) | cpu_rows.functions(spans)
    read, written = program.buffers()
    arguments = (
        numba.types.Array(numba.boolean if buffer.logical else number, len(buffer.axes), "C")
        for buffer in [*read, *written]
    )
    signature = numba.void(numba.intp, *arguments)
    compiled: Callable[..., None] = numba.njit(signature, **OPTIONS)(names[program.name])
    return compiled


def source(program: Program) -> tuple[str, list[str]]:
    """Return the Python source that Numba compiles, and the names of the spans it works on."""
    read, written = program.buffers()
    buffers = [*read, *written]
    sized = next(buffer for buffer in buffers if "bj" in buffer.axes)
    rows: dict[str, str] = {}
    spans: dict[str, None] = {}

    def row(access: Access) -> str:
        """Return the name of the row that an access is to, taken out of the inner loop."""
        parts = [access.buffer.name, *(part.replace(" + ", "") for part in access.row)]
        name = "_".join(["row", *parts])
        index = ", ".join(access.row)
        rows[name] = f"{access.buffer.name}[{index}]" if index else access.buffer.name
        return name

    def span(access: Access) -> str:
        """Return the name of the part of a row that is one block."""
        name = f"{row(access)}_{access.block}"
        spans.setdefault(name)
        return name

    def load(access: Access) -> str:
        if "j" not in access.buffer.axes:
            return row(access)
        return f"load_{span(access)}({row(access)}, {access.column})"

    def store(access: Access, value: str) -> str:
        return f"store_{span(access)}({row(access)}, {access.column}, {value})"

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
    return text, list(spans)
