"""Which kernel a call may use, if any."""

import logging
import os
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

from xpbptt._arrays.once import once
from xpbptt.cells.cell import Cell
from xpbptt.kernels.program import Program
from xpbptt.kernels.programs import Kind, program
from xpbptt.kernels.symbols import Untraceable

VARIABLE = "XPBPTT_FUSE"

COMPILERS = {  # the module that compiles, by the name of the namespace
    "array_api_compat.numpy": "xpbptt.kernels.numba.kernel",
    "array_api_compat.cupy": "xpbptt.kernels.cuda.kernel",
}

log = logging.getLogger("xpbptt")


class Kernel(NamedTuple):
    """A compiled program.

    Attributes
    ----------
    run : callable
        ``run(t, *buffers)`` computes step `t`.
    names : tuple of str
        The names of the buffers.
    empty : callable
        ``empty(shape, dtype)`` is a new array.
    plain : callable
        ``plain(array)`` is the array in the form that `run` takes, a copy where it has to be.
    forward, backward : callable
        The time loop, ``forward(run, buffers, rows, weight, product)``, see `loops`.
    single : callable
        ``single(run, names, given)`` is the step of a stream, see `loops`.
    at_once : int or None
        Of how many numbers the gates' buffers best are; None for all steps.
    """

    run: Callable[..., None]
    names: tuple[str, ...]
    empty: Callable[..., Any]
    plain: Callable[[Any], Any]
    forward: Callable[..., None]
    backward: Callable[..., None]
    single: Callable[..., Any]
    at_once: int | None = None

    def order(self, buffers: dict[str, Any]) -> tuple[Any, ...]:
        """Return the buffers in the order in which `run` takes them."""
        return tuple(buffers[name] for name in self.names)


def find(cell: Cell, kind: Kind, like: Any, *, masked: bool, xp: Any) -> Kernel | None:
    """Return the kernel of a cell for arrays like `like`, or None to run the cell as written.

    Why a cell cannot be compiled is logged, once.
    """
    module = compiler_of(xp)
    found = "" if module is None else build(cell, kind, masked, module, like.dtype)
    return None if isinstance(found, str) else found


def why_not(cell: Cell, kind: Kind, like: Any, *, masked: bool, xp: Any) -> str:
    """Return why `find` gives no kernel; empty where it gives one."""
    module = compiler_of(xp)
    if module is None:
        named = getattr(xp, "__name__", "") in COMPILERS
        return f"{VARIABLE}=0 is set" if named else "cells are compiled for NumPy and CuPy only"
    found = build(cell, kind, masked, module, like.dtype)
    return found if isinstance(found, str) else ""


def compiler_of(xp: Any) -> str | None:
    """Return the module that compiles for a namespace; None if there is none or it is off."""
    module = COMPILERS.get(getattr(xp, "__name__", ""))
    return None if module is None or os.environ.get(VARIABLE) == "0" else module


@once
def build(cell: Cell, kind: Kind, masked: bool, module: str, dtype: Any) -> Kernel | str:  # noqa: FBT001 - a key of the cache
    """Compile a kernel for arrays of a dtype, or say why there is none."""
    compiler = _compiler(module)
    if isinstance(compiler, str):
        return compiler
    if dtype not in compiler.DTYPES:
        return f"{dtype} is not compiled on this library"
    try:
        traced = program(cell, kind, masked=masked)
    except Exception as error:  # noqa: BLE001 - a cell's own code may raise anything on symbols
        reason = str(error) if isinstance(error, Untraceable) else f"tracing raised {error!r}"
        _warn_once(cell, f"{cell.name} is not compiled but runs as written, slower: {reason}")
        return reason
    return _compiled(compiler, cell, traced, dtype)


def _compiled(compiler: Any, cell: Cell, traced: Program, dtype: Any) -> Kernel | str:
    try:
        run = compiler.kernel(traced, str(dtype))
    except Exception as error:  # noqa: BLE001 - a compiler may raise anything
        first, _, _ = str(error).strip().partition("\n")
        reason = f"{type(error).__name__}: {first}"
        failed = f"the kernel {traced.name} for {dtype} could not be built"
        _warn_once(cell, f"{failed}, so {cell.name} runs as written, slower: {reason}")
        return f"{failed}: {reason}"
    read, written = traced.buffers()
    names = tuple(buffer.name for buffer in (*read, *written))
    loops = (compiler.forward, compiler.backward, compiler.single)
    return Kernel(run, names, compiler.empty, compiler.plain, *loops, compiler.AT_ONCE)


@once
def _compiler(module: str) -> Any:
    """Return the module that compiles, or why it cannot be imported."""
    try:
        return import_module(module)
    except Exception as error:  # noqa: BLE001 - Numba may raise anything beside another NumPy
        missing = isinstance(error, ModuleNotFoundError) and error.name == "numba"
        # There are platforms without Numba; one that is there and does not work is worth a warning.
        log.log(
            logging.INFO if missing else logging.WARNING,
            "cells are not compiled and run slower: %s",
            error,
        )
        return str(error)


@once
def _warn_once(cell: Cell, message: str) -> None:  # noqa: ARG001 - once for each cell
    log.warning(message)
