"""Which compiled programs a pass may use, if any: the only place where they are looked up."""

import logging
import os
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

from xpbptt._arrays.once import once
from xpbptt.cells import BUILT_IN, Cell
from xpbptt.kernels import places, programs
from xpbptt.kernels.form import PLAIN, Form
from xpbptt.kernels.programs import Backward, Forward, Kind, Task
from xpbptt.kernels.symbols import Untraceable
from xpbptt.kernels.target import Kernel, Loop, Run, Target

VARIABLE = "XPBPTT_FUSE"
MOST = 400  # programs of users' cells that are compiled: LLVM never gives back 100 kB of each
OWN = frozenset(BUILT_IN)

TARGETS = {  # the module of the target, by the name of the namespace
    "array_api_compat.numpy": "xpbptt.kernels.llvm.target",
    "array_api_compat.cupy": "xpbptt.kernels.cuda.target",
}

log = logging.getLogger("xpbptt")


class Compiled(NamedTuple):
    """The programs of a cell that a pass needs, compiled.

    Attributes
    ----------
    cell : Cell
        The cell.
    target : Target
        What compiled them.
    loop : Loop
        How the steps are run.
    forward, backward : Forward, Backward
        The traced programs with their buffers.
    kernels : dict of Kernel
        By kind.
    single : callable or None
        ``single(x_t, *params, *state, *new)``, the step of a stream, if it is among the kinds.
    """

    cell: Cell
    target: Target
    loop: Loop
    forward: Forward
    backward: Backward
    kernels: dict[Kind, Kernel]
    single: Any = None

    def refusal(self, hidden: int, batch: int) -> str:
        """Return why a pass over so many units and sequences cannot be run; empty where it can."""
        return self.loop.refuse(self.kernels, hidden, batch) if self.loop.refuse else ""

    def scratch(self, hidden: int, batch: int, directions: int) -> int:
        """Return the bytes that a pass takes for itself, for one of so many directions."""
        if self.loop.scratch is None:
            return 0
        return self.loop.scratch(self.kernels, hidden, batch, directions)

    def __hash__(self) -> int:
        """Hash by identity: there is one such value for what was asked for."""
        return id(self)


def find(
    cell: Cell, kinds: tuple[Kind, ...], dtype: Any, *, form: Form = PLAIN, xp: Any, loop: str = ""
) -> Compiled | str:
    """Return the compiled programs of a cell, or why there are none and the cell runs eagerly.

    Why a cell cannot be compiled is also logged, once.

    Parameters
    ----------
    cell : Cell
        The cell.
    kinds : tuple of str
        The programs that the pass needs.
    dtype : dtype
        The dtype of the arrays.
    form : Form
        What the pass is given. Default: input and state alone.
    xp : namespace
        The namespace of the arrays.
    loop : str
        The loop over time. Default: the fastest that the target has.
    """
    name = getattr(xp, "__name__", "")
    if name not in TARGETS:
        return "cells are compiled for NumPy and CuPy only"
    if os.environ.get(VARIABLE) == "0":
        return f"{VARIABLE}=0 is set"
    return _compiled(cell, kinds, dtype, form, TARGETS[name], loop)


@once
def _compiled(
    cell: Cell,
    kinds: tuple[Kind, ...],
    dtype: Any,
    form: Form,
    module: str,
    name: str,
) -> Compiled | str:
    target = _target(module)
    if isinstance(target, str):
        return target
    loop = next((each for each in target.loops if name in {"", each.name}), None)
    if loop is None or dtype not in target.dtypes:
        what = f"the engine {name}" if loop is None else str(dtype)
        return f"{what} is not compiled on this library"
    form = form._replace(adds=target.adds and cell.extra is not None)
    try:
        forward = programs.forward(cell, form)
        backward = programs.backward(cell, form)
        traced = {kind: programs.task(cell, kind, form) for kind in kinds}
    except Exception as error:  # noqa: BLE001 - a cell's own code may raise anything on symbols
        reason = str(error) if isinstance(error, Untraceable) else f"tracing raised {error!r}"
        _warn_once(cell, f"{cell.name} is not compiled but runs eagerly, slower: {reason}")
        return reason
    kernels = {}
    for kind, task in traced.items():
        if not task.program.stores:  # a cell without residuals has none to compute again
            continue
        kernel = _kernel(target, loop, task, str(dtype), own=cell in OWN)
        if isinstance(kernel, str):
            _warn_once(cell, f"{cell.name} runs without the engine {loop.name}, slower: {kernel}")
            return kernel
        kernels[kind] = kernel
    single = None
    if "single" in kernels:
        given = kernels["single"], places.arguments(cell)
        single = _built(
            lambda: target.single(*given), f"the step of a stream of {cell.name} for {dtype}"
        )
    if isinstance(single, str):
        _warn_once(cell, f"{cell.name} runs without the engine {loop.name}, slower: {single}")
        return single
    return Compiled(cell, target, loop, forward, backward, kernels, single)


def _kernel(target: Target, loop: Loop, task: Task, dtype: str, *, own: bool) -> Kernel | str:
    """Compile a program, or say why it cannot be; equal programs are compiled once."""
    key = target.name, loop.name, task, dtype
    if key not in _kernels:  # the caller holds the lock of `once`
        if not own and len(_users) >= MOST:
            return (
                f"{MOST} programs of such cells have been compiled in this process, and no more "
                "are: make a cell once and use it again"
            )
        run = _built(
            lambda: loop.compile(task, dtype), f"the kernel {task.program.name} for {dtype}"
        )
        if isinstance(run, str):
            return run
        _kernels[key] = Kernel(run, task, dtype)
        if not own:
            _users.add(key)
    return _kernels[key]


def _built(build: Callable[[], Run], what: str) -> Run | str:
    """Return what a compiler builds, or why it cannot be built."""
    try:
        return build()
    except Exception as error:  # noqa: BLE001 - a compiler may raise anything
        first, _, _ = str(error).strip().partition("\n")
        return f"{what} could not be built: {type(error).__name__}: {first}"


_kernels: dict[tuple[str, str, Task, str], Kernel] = {}
_users: set[tuple[str, str, Task, str]] = set()  # those of users' cells


def target_of(xp: Any) -> Target | None:
    """Return the target for the arrays of a namespace, if there is one that can be used."""
    name = getattr(xp, "__name__", "")
    found = _target(TARGETS[name]) if name in TARGETS else ""
    return None if isinstance(found, str) else found


@once
def _target(module: str) -> Target | str:
    """Return a target, or why it cannot be used here."""
    try:
        target: Target = import_module(module).TARGET
    except Exception as error:  # noqa: BLE001 - a compiler that does not fit may raise anything
        missing = isinstance(error, ModuleNotFoundError) and error.name == "llvmlite"
        # There are platforms without it; one that is there and does not work is worth a warning.
        log.log(
            logging.INFO if missing else logging.WARNING,
            "cells are not compiled and run slower: %s",
            error,
        )
        return str(error)
    return target


@once
def _warn_once(cell: Cell, message: str) -> None:  # noqa: ARG001 - once for each cell
    log.warning(message)
