"""The engine `scan`, for arrays of JAX: the cell inside ``jax.lax.scan``, compiled for all steps.

The functions compute what those of the engine `eager` do. They are compiled once for each cell and
shape, and take their place in the caller's program where ``jax.jit`` or ``jax.vmap`` is tracing it.
"""

import logging
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from typing import Any

from xpbptt._arrays.once import once
from xpbptt._arrays.tree import map_shapes
from xpbptt._arrays.types import AnyArray, Namespace, Tree
from xpbptt.bptt.engines import scanned
from xpbptt.bptt.engines.chunks import chunks, doubled
from xpbptt.bptt.engines.scanned import Given
from xpbptt.bptt.engines.segment import Back, Inputs, Rewound, Segment
from xpbptt.bptt.engines.tape import Tape
from xpbptt.bptt.layers.layer import Watch
from xpbptt.cells.recurrence import Recurrence

SOME = 4  # hidden units

log = logging.getLogger("xpbptt")


def width(params: Tree) -> int:
    """Return the hidden units H, or some number where the parameters do not tell."""
    weight = getattr(params, "weight_hh", ())
    return SOME if isinstance(weight, tuple) else int(weight.shape[1])


@once
def refusal(of: Recurrence, inputs: int, hidden: int, dtype: Any) -> str:
    """Return why JAX cannot trace a recurrence, or an empty string; it is also logged, once.

    Both passes are traced on arrays without numbers, for two steps of two sequences.
    """
    jax = import_module("jax")

    def zeros(*shape: int) -> AnyArray:
        return jax.ShapeDtypeStruct(shape, dtype)

    params = map_shapes(lambda shape: zeros(*shape), of.shapes(inputs - of.side, hidden))
    state = of.state(*(zeros(2, columns) for columns in of.parts(hidden)))

    def both(params: Tree, x: AnyArray, state: Tree) -> Any:
        states, residuals, last = scanned.record(of, params, x, Given(), state)
        if not jax.numpy.isdtype(dtype, "real floating"):
            return last  # a complex step goes forward only
        rows = params, x, Given(), states, residuals, states[0][1:, ...], None, None, last
        return scanned.rewind(of, Watch(), rows)

    try:
        jax.eval_shape(both, params, zeros(2, 2, inputs), state)
    except Exception as error:  # noqa: BLE001 - a cell's own code may raise anything on tracers
        first, _, _ = str(error).strip().partition("\n")
        reason = f"tracing raised {type(error).__name__}: {first}"
        log.warning("%s is not compiled but runs eagerly, slower: %s", of.name, reason)
        return reason
    return ""


def prepare(of: Recurrence, params: Tree, steps: int, *, xp: Namespace) -> None:
    """Prepare nothing: the compiled functions do so themselves; see `Engine`."""


def advance(
    of: Recurrence,
    inputs: Inputs,
    marks: Sequence[int],
    state: Tree,
    outputs: Tape | None,
    most: int,
    *,
    xp: Namespace,
) -> tuple[list[Tree], Tree]:
    """Run forward; see `Engine`."""
    snapshots = []
    parts = len(state) if marks else 0 if outputs is None else outputs.parts
    # Sweeps of a strategy are of many lengths, each of which would be compiled by itself.
    split = doubled if outputs is None else chunks
    for steps in split(inputs.x.shape[0], most):
        one = inputs.part(steps)
        given = Given.of(one, state, xp=xp)
        arguments = one.params, one.x, given, of.state(*state)
        states, last = _compiled(scanned.advance)(of, parts, *arguments)
        for t in marks:
            if t == steps.start:
                snapshots.append(of.state(*state))
            elif steps.start < t < steps.stop:
                row = t - steps.start - 1
                snapshots.append(of.state(*(part[row, ...] for part in states)))
        if outputs is not None:
            outputs.put(steps.start + 1, states[: outputs.parts])
        state = last
    return snapshots, of.state(*state)


def record(
    of: Recurrence,
    inputs: Inputs,
    state: Tree,
    *,
    xp: Namespace,
) -> tuple[Segment, Tree]:
    """Run forward and keep everything; see `Engine`."""
    given = Given.of(inputs, state, xp=xp)
    arguments = inputs.params, inputs.x, given, of.state(*state)
    states, residuals, last = _compiled(scanned.record)(of, *arguments)
    return Segment(states, residuals), last


def rewind(
    of: Recurrence,
    inputs: Inputs,
    segment: Segment,
    back: Back,
    dstate: Tree,
    *,
    xp: Namespace,
) -> Rewound:
    """Go back over a segment; see `Engine`."""
    params, x, given = inputs.params, inputs.x, Given.of(inputs, dstate, xp=xp)
    cuts = None
    if back.hand_back.truncate is not None:
        cuts = xp.asarray([back.hand_back.cuts(t) for t in range(x.shape[0])])
    upstream = back.dy, back.dstates, cuts, of.state(*dstate)
    rows = (params, x, given, *segment, *upstream)
    return Rewound(*_compiled(scanned.rewind)(of, back.watch, rows))


def step(
    of: Recurrence,
    params: Tree,
    x_t: AnyArray,
    state: Tree,
    *,
    xp: Namespace,  # noqa: ARG001 - the contract's
) -> Tree:
    """Advance by one step; see `Engine`."""
    return _compiled(scanned.step)(of, params, x_t, of.state(*state))


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of `scanned`, compiled by JAX for each value of its static arguments."""
    static = scanned.STATIC[function]
    compiled: Callable[..., Any] = import_module("jax").jit(function, static_argnums=static)
    return compiled
