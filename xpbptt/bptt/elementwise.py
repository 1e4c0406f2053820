"""The recurrence of a cell that is its elementwise maths: one product a step, the rest at once."""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from xpbptt.bptt.recurrence import ExtraWeights, Recurrence, Weights, flat, join, transposed
from xpbptt.cells.cell import Cell

Array = Any
Arrays = tuple[Array, ...]
Namespace = Any


class Prepared(NamedTuple):
    """What a step needs of the parameters."""

    weight: Array  # W_hhᵀ
    bias: Array
    extra: dict[str, Any]


@cache
def recurrence(cell: Cell) -> Recurrence:  # noqa: C901 - eight short functions that share a cell
    """Make the recurrence of a cell, with `Weights` or `ExtraWeights` as its parameters.

    Parameters
    ----------
    cell : Cell
        The elementwise maths.

    Returns
    -------
    recurrence : Recurrence
        The same for the same cell.
    """
    gates = len(cell.gates._fields)

    def split(block: Array) -> Any:
        size = block.shape[-1] // gates
        return cell.gates(*(block[..., k * size : (k + 1) * size] for k in range(gates)))

    def extra(params: Any) -> dict[str, Any]:
        return {} if cell.extra is None else {"extra": params.extra}

    def shapes(input_size: int, hidden_size: int) -> Weights | ExtraWeights:
        rows = gates * hidden_size
        common = (rows, input_size), (rows, hidden_size), (rows,), (rows,)
        if cell.extra is None:
            return Weights(*common)
        own = cell.extra(hidden_size)  # noqa: S610 - no query
        return ExtraWeights(*common, own)

    def products(params: Any, x: Array, *, xp: Namespace) -> Array:
        u = flat(x, xp=xp) @ params.weight_ih.T
        u += params.bias_ih
        return u

    def project(params: Any, x: Array, *, xp: Namespace) -> Sequence[Any]:
        u = products(params, x, xp=xp)
        u = xp.reshape(u, (*x.shape[:2], u.shape[1]))
        return [split(u[t, ...]) for t in range(x.shape[0])]

    def prepare(params: Any, steps: int, *, xp: Namespace) -> Prepared:
        return Prepared(transposed(params.weight_hh, steps, xp=xp), params.bias_hh, extra(params))

    def step(weights: Prepared, u: Any, state: Any, *, xp: Namespace) -> tuple[Any, Arrays]:
        v = state[0] @ weights.weight
        v += weights.bias
        return cell.forward(u, split(v), state, xp=xp, **weights.extra)

    def step_backward(
        params: Any, residuals: Arrays, state: Any, new: Any, dnew: Any, *, xp: Namespace
    ) -> tuple[Arrays, Any]:
        du, dv, (direct, *dstate), *dextra = cell.backward(
            residuals, state, new, dnew, xp=xp, **extra(params)
        )
        dv_block = join(dv, xp=xp)
        dh = dv_block @ params.weight_hh
        if direct is not None:
            dh += direct
        du_block = dv_block if du is dv else join(du, xp=xp)
        own = (d for named in dextra for d in named)
        record = (dv_block, *own) if du is dv else (du_block, dv_block, *own)
        return record, cell.state(dh, *dstate)

    def accumulate(
        params: Any, x: Array, states: Arrays, records: Arrays, *, xp: Namespace
    ) -> tuple[Any, Array]:
        own = 0 if cell.extra is None else len(params.extra)
        blocks = [flat(block, xp=xp) for block in records[: len(records) - own]]
        du, dv = blocks[0], blocks[-1]
        dbias_hh = xp.sum(dv, axis=0)
        dparams = params._replace(
            weight_ih=du.T @ flat(x, xp=xp),
            weight_hh=dv.T @ flat(states[0], xp=xp),
            bias_ih=xp.sum(du, axis=0) if len(blocks) > 1 else xp.asarray(dbias_hh, copy=True),
            bias_hh=dbias_hh,
        )
        if own:
            sums = (xp.sum(each, axis=(0, 1)) for each in records[-own:])
            dparams = dparams._replace(extra=type(params.extra)(*sums))
        return dparams, xp.reshape(du @ params.weight_ih, x.shape)

    def recompute(params: Any, x: Array, states: Arrays, *, xp: Namespace) -> Arrays:
        before = cell.state(*(flat(part, xp=xp) for part in states))
        u = products(params, x, xp=xp)
        v = before[0] @ params.weight_hh.T
        v += params.bias_hh
        _, residuals = cell.forward(split(u), split(v), before, xp=xp, **extra(params))
        return tuple(xp.reshape(r, (*x.shape[:2], *r.shape[1:])) for r in residuals)

    return Recurrence(
        name=cell.name,
        state=cell.state,
        shapes=shapes,
        project=project,
        prepare=prepare,
        step=step,
        step_backward=step_backward,
        accumulate=accumulate,
        recompute=recompute,
        gates=split,
        cell=cell,
    )
