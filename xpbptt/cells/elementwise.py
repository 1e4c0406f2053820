"""The recurrence of a `Cell`: a step is one matrix product and the cell's elementwise maths."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from xpbptt._arrays.once import once
from xpbptt._arrays.types import AnyArray, Arrays, Namespace
from xpbptt.cells.cell import Cell
from xpbptt.cells.recurrence import Recurrence, Weights, flat, join, transposed


class Prepared(NamedTuple):
    """The parameters in the form that a step takes."""

    weight: AnyArray  # W_hhᵀ
    bias: AnyArray
    extra: dict[str, Any]


class Bound(partial[Any]):
    """A function bound to a cell; equal to the same function bound to an equal cell."""

    def __eq__(self, other: object) -> bool:
        """Compare the functions and the cells."""
        return isinstance(other, Bound) and (self.func, self.args) == (other.func, other.args)

    def __hash__(self) -> int:
        """Return the hash of the function and the cell."""
        return hash((self.func, self.args))


@once
def recurrence(cell: Cell) -> Recurrence:
    """Make the recurrence of a cell, with `Weights` as its parameters.

    Parameters
    ----------
    cell : Cell
        The elementwise maths.

    Returns
    -------
    recurrence : Recurrence
        The same object for the same cell in all threads; an equal one for an equal cell.
    """
    return Recurrence(
        name=cell.name,
        state=cell.state,
        shapes=Bound(_shapes, cell),
        project=Bound(_project, cell),
        prepare=Bound(_prepare, cell),
        step=Bound(_step, cell),
        step_backward=Bound(_step_backward, cell),
        accumulate=Bound(_accumulate, cell),
        gates=Bound(_split, cell),
        drops=True,
        accumulate_each=Bound(_accumulate_each, cell),
    )


def _split(cell: Cell, block: AnyArray) -> Any:
    gates = len(cell.gates._fields)
    size = block.shape[-1] // gates
    return cell.gates(*(block[..., k * size : (k + 1) * size] for k in range(gates)))


def _extra(cell: Cell, params: Any) -> dict[str, Any]:
    return {} if cell.extra is None else {"extra": params.extra}


def _shapes(cell: Cell, input_size: int, hidden_size: int) -> Weights:
    rows = len(cell.gates._fields) * hidden_size
    own = None if cell.extra is None else cell.extra(hidden_size)  # noqa: S610 - not a query
    return Weights((rows, input_size), (rows, hidden_size), (rows,), (rows,), own)


def _project(cell: Cell, params: Any, x: AnyArray, *, xp: Namespace) -> Sequence[Any]:
    u = flat(x, xp=xp) @ params.weight_ih.T
    u += params.bias_ih
    u = xp.reshape(u, (*x.shape[:2], u.shape[1]))
    return [_split(cell, u[t, ...]) for t in range(x.shape[0])]


def _prepare(cell: Cell, params: Any, steps: int, *, xp: Namespace) -> Prepared:
    weight = transposed(params.weight_hh, steps, xp=xp)
    return Prepared(weight, params.bias_hh, _extra(cell, params))


def _step(
    cell: Cell, weights: Prepared, u: Any, state: Any, *, xp: Namespace, factors: AnyArray = None
) -> tuple[Any, Arrays]:
    v = (state[0] if factors is None else state[0] * factors) @ weights.weight
    v += weights.bias
    return cell.forward(u, _split(cell, v), state, xp=xp, **weights.extra)


def _step_backward(
    cell: Cell,
    params: Any,
    residuals: Arrays,
    state: Any,
    new: Any,
    dnew: Any,
    *,
    xp: Namespace,
    factors: AnyArray = None,
) -> tuple[Arrays, Any]:
    du, dv, (direct, *dstate), *dextra = cell.backward(
        residuals, state, new, dnew, xp=xp, **_extra(cell, params)
    )
    dv_block = join(dv, xp=xp)
    dh = dv_block @ params.weight_hh
    if factors is not None:
        dh *= factors
    if direct is not None:
        dh += direct
    du_block = dv_block if du is dv else join(du, xp=xp)
    own = (d for named in dextra for d in named)
    record = (dv_block, *own) if du is dv else (du_block, dv_block, *own)
    return record, cell.state(dh, *dstate)


def _accumulate(
    _: Cell, params: Any, x: AnyArray, states: Arrays, records: Arrays, *, xp: Namespace
) -> tuple[Any, AnyArray]:
    own, rows = len(params.extra), x.shape[0] * x.shape[1]
    blocks = [xp.reshape(block, (rows, block.shape[-1])) for block in records[: len(records) - own]]
    du, dv = blocks[0], blocks[-1]
    dbias_hh = xp.sum(dv, axis=0)
    dparams = params._replace(
        weight_ih=du.T @ xp.reshape(x, (rows, x.shape[-1])),
        weight_hh=dv.T @ xp.reshape(states[0], (rows, states[0].shape[-1])),
        bias_ih=xp.sum(du, axis=0) if len(blocks) > 1 else xp.asarray(dbias_hh, copy=True),
        bias_hh=dbias_hh,
    )
    if own:
        sums = (xp.sum(each, axis=(0, 1)) for each in records[-own:])
        dparams = dparams._replace(extra=type(params.extra)(*sums))
    return dparams, xp.reshape(du @ params.weight_ih, x.shape)


def _accumulate_each(
    _: Cell, params: Any, x: AnyArray, states: Arrays, records: Arrays, *, xp: Namespace
) -> tuple[Any, AnyArray]:
    """Return the gradients of the parameters for each sequence, and that of the input."""
    own = len(params.extra)
    blocks = records[: len(records) - own]
    du, dv = blocks[0], blocks[-1]

    def products(records: AnyArray, rows: AnyArray) -> AnyArray:
        return xp.permute_dims(records, (1, 2, 0)) @ xp.permute_dims(rows, (1, 0, 2))

    dbias_hh = xp.sum(dv, axis=0)
    dparams = params._replace(
        weight_ih=products(du, x),
        weight_hh=products(dv, states[0]),
        bias_ih=xp.sum(du, axis=0) if len(blocks) > 1 else xp.asarray(dbias_hh, copy=True),
        bias_hh=dbias_hh,
    )
    if own:
        sums = (xp.sum(each, axis=0) for each in records[-own:])
        dparams = dparams._replace(extra=type(params.extra)(*sums))
    return dparams, xp.reshape(flat(du, xp=xp) @ params.weight_ih, x.shape)
