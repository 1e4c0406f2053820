"""Engines: how the steps of a segment are run, forward and back, and which one a pass takes.

An engine is a value, chosen once for a pass by `choose`. `sequence` runs all steps in one compiled
call, `stepwise` a product and a compiled kernel a step; `graph`, on CuPy and chosen by hand only,
launches those of some steps as one CUDA graph; `scan` compiles the loop for arrays of JAX; `eager`
runs the cell's own functions.
"""

import os
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any, NamedTuple

from xpbptt._arrays.types import AnyArray, Namespace, Tree
from xpbptt.bptt.engines import compiled, eager, scan
from xpbptt.bptt.engines.compiled_back import rewind
from xpbptt.bptt.engines.scanned import NAMESPACE
from xpbptt.bptt.layers.passes import steps
from xpbptt.cells.cell import Cell
from xpbptt.cells.elementwise import recurrence
from xpbptt.cells.recurrence import Recurrence
from xpbptt.kernels import PLAIN, TARGETS, VARIABLE, Compiled, Form, Kind, find

ENGINE = "XPBPTT_ENGINE"  # the environment variable that chooses one by hand
LOOPS = {  # the loops of a target to try, in this order, by what is chosen by hand
    "": ("sequence", "stepwise"),
    "sequence": ("sequence", "stepwise"),
    "graph": ("graph", "stepwise"),
    "stepwise": ("stepwise",),
}


class Answer(NamedTuple):
    """Which engine a pass takes.

    Attributes
    ----------
    name : str
        ``"sequence"``, ``"stepwise"``, ``"graph"``, ``"scan"`` or ``"eager"``.
    reason : str
        Why it is no faster one; empty for the fastest.
    """

    name: str
    reason: str


class Engine(NamedTuple):
    """The functions of an engine, for one cell. All take ``xp=``, the arrays' namespace.

    `advance`, `record` and `rewind` are generators of calls of the target's loop, see
    `xpbptt.bptt.layers.passes`; what is said of them is what they return in the end.

    Attributes
    ----------
    name : str
        Its name.
    reason : str
        Why no faster engine was taken; empty for the fastest.
    compiled : Compiled or None
        The compiled programs that it runs.
    prepare : callable
        ``prepare(params, steps) → weights``: the form of the parameters that `advance` and `record`
        read as ``inputs.weights``, if so many steps are to be run.
    advance : callable
        ``advance(inputs, marks, state, outputs, most) → states at the marks, last state``: run
        forward, at most `most` steps at once.
        The marks are steps in rising order, at which the state before the step is returned.
        `outputs` is a tape of T + 1 rows or None: the first parts of the state after step t, as
        many as it has, are written to row t + 1.
    record : callable
        ``record(inputs, state) → segment, last state``: run forward and keep everything that the
        backward pass needs.
    rewind : callable
        ``rewind(inputs, segment, back, dstate) → gradients``: go back over a kept segment, from the
        gradient of the state after it to that before it.
    step : callable
        ``step(params, x_t, state) → state``: one step of a stream, with x_t (B, I).
    """

    name: str
    reason: str
    compiled: Compiled | None
    prepare: Callable[..., Any]
    advance: Callable[..., Any]
    record: Callable[..., Any]
    rewind: Callable[..., Any]
    step: Callable[..., Tree]


def choose(
    cell: Cell | Recurrence,
    kinds: tuple[Kind, ...],
    params: Tree,
    x: AnyArray,
    *,
    form: Form = PLAIN,
    xp: Namespace,
) -> Engine:
    """Return the fastest engine that can run a pass.

    Parameters
    ----------
    cell : Cell or Recurrence
        The time step.
    kinds : tuple of str
        The programs of the cell that the pass needs.
    params : tree of arrays
        The parameters of the layer.
    x : array (T, B, I) or (B, I)
        The input.
    form : Form
        What the pass is given beside input and state.
    xp : namespace
        The namespace of the arrays.
    """
    if getattr(xp, "__name__", "") == NAMESPACE and 0 not in x.shape:
        return _scanned(recurrence(cell) if isinstance(cell, Cell) else cell, params, x)
    if isinstance(cell, Recurrence):
        return _eager(cell, "a Recurrence is not compiled")
    if 0 in x.shape:
        return _eager(recurrence(cell), "there is nothing to compute")
    if getattr(xp, "__name__", "") not in TARGETS:  # its dtypes may have no hash
        return _eager(recurrence(cell), "cells are compiled for NumPy and CuPy only")
    # Above the first layer x may be in another byte order than the parameters.
    dtype, hidden = params.weight_ih.dtype, params.weight_ih.shape[0] // len(cell.gates._fields)
    return fastest(cell, kinds, dtype, hidden, x.shape[-2], form=form, xp=xp)


def fastest(
    cell: Cell,
    kinds: tuple[Kind, ...],
    dtype: Any,
    hidden: int,
    batch: int,
    *,
    form: Form,
    xp: Namespace,
) -> Engine:
    """Return the fastest engine of a cell for a library on which cells are compiled.

    The arguments are those of `choose`, with the dtype, H and B in place of the arrays.
    """
    wanted = chosen()
    if wanted == "eager":
        return _eager(recurrence(cell), "it was chosen by hand")
    return _fastest(cell, kinds, dtype, form, xp, wanted, hidden, batch)


@lru_cache(maxsize=4096)
def _fastest(
    cell: Cell,
    kinds: tuple[Kind, ...],
    dtype: Any,
    form: Form,
    xp: Namespace,
    wanted: str,
    hidden: int,
    batch: int,
) -> Engine:
    """Return the engine, the same when it is asked for again; `wanted` was chosen by hand."""
    reasons: list[str] = []
    for loop in LOOPS[wanted]:
        found = find(cell, kinds, dtype, form=form, xp=xp, loop=loop)
        reason = found if isinstance(found, str) else found.refusal(hidden, batch)
        if not isinstance(found, str) and not reason:
            return _compiled(found, "; ".join(reasons))
        if reason not in reasons:
            reasons.append(reason)
    return _eager(recurrence(cell), "; ".join(reasons))


@lru_cache
def _eager(of: Recurrence, reason: str) -> Engine:
    return Engine("eager", reason, None, *_functions(eager, of))


def chosen() -> str:
    """Return the engine that is chosen by hand; empty for the fastest.

    Raises
    ------
    ValueError
        Where the environment variable names no engine.
    """
    if os.environ.get(VARIABLE) == "0":
        return "eager"
    wanted = os.environ.get(ENGINE, "")
    if wanted not in ("eager", *LOOPS):
        message = (
            f"{ENGINE}={wanted} names no engine: set it to eager, stepwise, sequence or, on CuPy, "
            "graph"
        )
        raise ValueError(message)
    return wanted


def _scanned(of: Recurrence, params: Tree, x: AnyArray) -> Engine:
    """Return the fastest engine for arrays of JAX."""
    if chosen() == "eager":
        return _eager(of, "it was chosen by hand")
    reason = scan.refusal(of, x.shape[-1], scan.width(params), x.dtype)
    return _eager(of, reason) if reason else _scan(of)


@lru_cache
def _scan(of: Recurrence) -> Engine:
    return Engine("scan", "", None, *_functions(scan, of))


def _functions(module: Any, of: Recurrence) -> Iterator[Callable[..., Any]]:
    """Yield the functions of an engine that calls no target."""
    runs = (steps(each) for each in (module.advance, module.record, module.rewind))
    return (partial(each, of) for each in (module.prepare, *runs, module.step))


@lru_cache(maxsize=512)
def _compiled(found: Compiled, reason: str) -> Engine:
    functions = compiled.prepare, compiled.advance, compiled.record, rewind, compiled.step
    of = recurrence(found.cell)
    runs = (partial(function, of, found) for function in functions)
    return Engine(found.loop.name, reason, found, *runs)
