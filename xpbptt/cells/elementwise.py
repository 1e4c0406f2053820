"""The recurrence of a `Cell`: a step is one matrix product and the cell's elementwise maths."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from xpbptt._arrays.once import once
from xpbptt._arrays.types import AnyArray, Arrays, Namespace
from xpbptt.cells.cell import Bound, Cell
from xpbptt.cells.product import read, recurrent, shared, spread, taken
from xpbptt.cells.projection import Projection, seen, widths
from xpbptt.cells.recurrence import Recurrence, Weights, flat, join, transposed


class Prepared(NamedTuple):
    """The parameters in the form that a step takes."""

    weight: AnyArray  # W_hhᵀ; None where no gate has a product
    bias: AnyArray
    extra: dict[str, Any]
    projection: AnyArray = None  # W_hrᵀ; None where there is none


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
        drops=read(cell) if recurrent(cell) else None,
        accumulate_each=Bound(_accumulate_each, cell),
        side=cell.side,
        widths=Bound(widths, cell) if cell.projection else None,
        heads=cell.heads,
    )


def _split(cell: Cell, block: AnyArray) -> Any:
    return cell.gates(*_blocks(block, len(cell.gates._fields)))


def _blocks(block: AnyArray, count: int) -> list[AnyArray]:
    size = block.shape[-1] // count
    return [block[..., k * size : (k + 1) * size] for k in range(count)]


def _extra(cell: Cell, params: Any) -> dict[str, Any]:
    return {} if cell.extra is None else {"extra": params.extra}


def _shapes(cell: Cell, input_size: int, hidden_size: int) -> Weights:
    rows = len(cell.gates._fields) * hidden_size
    some, columns = len(recurrent(cell)) * hidden_size, cell.projection or hidden_size
    own = None if cell.extra is None else cell.extra(hidden_size)  # noqa: S610 - not a query
    if cell.projection:
        own = Projection((columns, hidden_size))
    of_state = ((some, columns), (some,)) if some else (None, None)
    return Weights((rows, input_size), of_state[0], (rows,), of_state[1], own)


class Beside(NamedTuple):
    """What a step is given of the input: u, and the columns (B, 1) of the side input."""

    u: Any
    dt: tuple[AnyArray, ...]


def _columns(cell: Cell, x: AnyArray) -> tuple[AnyArray, tuple[AnyArray, ...]]:
    """Return the input (…, I), and the columns (…, 1) of the side input beside it."""
    if not cell.side:
        return x, ()
    width = x.shape[-1] - cell.side
    places = range(width, x.shape[-1])
    return x[..., :width], tuple(x[..., k : k + 1] for k in places)


def _project(cell: Cell, params: Any, x: AnyArray, *, xp: Namespace) -> Sequence[Any]:
    x, dt = _columns(cell, x)
    u = flat(x, xp=xp) @ params.weight_ih.T
    u += params.bias_ih
    u = xp.reshape(u, (*x.shape[:2], u.shape[1]))
    parts = [_split(cell, u[t, ...]) for t in range(x.shape[0])]
    if not dt:
        return parts
    return [Beside(part, tuple(each[t, ...] for each in dt)) for t, part in enumerate(parts)]


def _prepare(cell: Cell, params: Any, steps: int, *, xp: Namespace) -> Prepared:
    own = _extra(cell, params)
    if not recurrent(cell):
        return Prepared(None, None, own)
    weight = transposed(params.weight_hh, steps, xp=xp)
    projection = None
    if cell.projection:
        projection = transposed(params.extra.weight_hr, steps, xp=xp)
    return Prepared(weight, params.bias_hh, own, projection)


def _step(
    cell: Cell, weights: Prepared, u: Any, state: Any, *, xp: Namespace, factors: AnyArray = None
) -> tuple[Any, Arrays]:
    parts = []
    if weights.weight is not None:
        before = state[read(cell)]
        v = (before if factors is None else before * factors) @ weights.weight
        v += weights.bias
        parts = _blocks(v, len(recurrent(cell)))
    v = spread(cell, parts)
    if cell.projection:
        (m, *rest), residuals = cell.forward(u, v, seen(cell, state), xp=xp)
        return cell.state(m @ weights.projection, *rest), (*residuals, m)
    if not cell.side:
        return cell.forward(u, v, state, xp=xp, **weights.extra)
    u, dt = u
    given = {**weights.extra, "dt": dt}
    new, residuals = cell.forward(u, v, state, xp=xp, **given)
    return new, (*residuals, *dt)


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
    given = _extra(cell, params)
    if cell.side:
        residuals, given["dt"] = residuals[: -cell.side], tuple(residuals[-cell.side :])
    projected: Arrays = ()
    if cell.projection:
        residuals, m = residuals[:-1], residuals[-1]
        dh, *rest = dnew
        dnew, projected = cell.state(dh @ params.extra.weight_hr, *rest), (dh, m)
        state, new = seen(cell, state), seen(cell, new)
    du, dv, dstate, *dextra = cell.backward(residuals, state, new, dnew, xp=xp, **given)
    dbefore = list(dstate)
    blocks = [join(du, xp=xp)]
    if recurrent(cell):
        if not shared(cell, du, dv):
            blocks.append(join(taken(cell, dv), xp=xp))
        dh, part = blocks[-1] @ params.weight_hh, read(cell)
        if factors is not None:
            dh *= factors
        if dbefore[part] is not None:
            dh += dbefore[part]
        dbefore[part] = dh
    zeroed = (
        xp.zeros_like(like) if part is None else part
        for part, like in zip(dbefore, dnew, strict=True)
    )
    own = (d for named in dextra for d in named)
    return (*blocks, *own, *projected), cell.state(*zeroed)


def _accumulate(
    cell: Cell, params: Any, x: AnyArray, states: Arrays, records: Arrays, *, xp: Namespace
) -> tuple[Any, AnyArray]:
    rows = x.shape[0] * x.shape[1]
    (x, _), (parts, own, ddt) = _columns(cell, x), _parted(cell, records)
    blocks = [xp.reshape(block, (rows, block.shape[-1])) for block in parts]
    du, dv = blocks[0], blocks[-1]
    dbias_ih = xp.sum(du, axis=0)
    dparams = params._replace(weight_ih=du.T @ xp.reshape(x, (rows, x.shape[-1])), bias_ih=dbias_ih)
    if recurrent(cell):
        before = states[read(cell)]
        dparams = dparams._replace(
            weight_hh=dv.T @ xp.reshape(before, (rows, before.shape[-1])),
            bias_hh=xp.sum(dv, axis=0) if len(blocks) > 1 else xp.asarray(dbias_ih, copy=True),
        )
    if cell.projection:
        dh, m = (flat(each, xp=xp) for each in own)
        dparams = dparams._replace(extra=Projection(dh.T @ m))
    elif own:
        sums = (xp.sum(each, axis=(0, 1)) for each in own)
        dparams = dparams._replace(extra=type(params.extra)(*sums))
    return dparams, _with_side(xp.reshape(du @ params.weight_ih, x.shape), ddt, xp=xp)


def _parted(cell: Cell, records: Arrays) -> tuple[Arrays, Arrays, Arrays]:
    """Return the records of the gates, of the cell's own parameters and of the side input.

    Those of a projection are the gradient of the output, and what is projected.
    """
    end = len(records) - cell.side
    own = end - (0 if cell.extra is None else len(cell.extra(1)))  # noqa: S610 - not a query
    if cell.projection:
        own = end - 2
    return records[:own], records[own:end], records[end:]


def _with_side(dx: AnyArray, ddt: Arrays, *, xp: Namespace) -> AnyArray:
    return xp.concat((dx, *ddt), axis=-1) if ddt else dx


def _accumulate_each(
    cell: Cell, params: Any, x: AnyArray, states: Arrays, records: Arrays, *, xp: Namespace
) -> tuple[Any, AnyArray]:
    """Return the gradients of the parameters for each sequence, and that of the input."""
    (x, _), (blocks, own, ddt) = _columns(cell, x), _parted(cell, records)
    du, dv = blocks[0], blocks[-1]

    def products(records: AnyArray, rows: AnyArray) -> AnyArray:
        return xp.permute_dims(records, (1, 2, 0)) @ xp.permute_dims(rows, (1, 0, 2))

    dbias_ih = xp.sum(du, axis=0)
    dparams = params._replace(weight_ih=products(du, x), bias_ih=dbias_ih)
    if recurrent(cell):
        dparams = dparams._replace(
            weight_hh=products(dv, states[read(cell)]),
            bias_hh=xp.sum(dv, axis=0) if len(blocks) > 1 else xp.asarray(dbias_ih, copy=True),
        )
    if cell.projection:
        dparams = dparams._replace(extra=Projection(products(*own)))
    elif own:
        sums = (xp.sum(each, axis=0) for each in own)
        dparams = dparams._replace(extra=type(params.extra)(*sums))
    dx = xp.reshape(flat(du, xp=xp) @ params.weight_ih, x.shape)
    return dparams, _with_side(dx, ddt, xp=xp)
