"""A recurrence: what the loop over time knows of a cell.

Only the state is sequential. What can be done for all T steps at once stays out of the loop:
`project` before it, `accumulate` after it, one matrix product each.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import array_api_compat

from xpbptt.cells.cell import Cell

Array = Any
Namespace = Any
Tree = Any


class Weights(NamedTuple):
    """The parameters of one layer and direction, with PyTorch's names and layout.

    Attributes
    ----------
    weight_ih : array (G·H, I)
        From the input to the gates.
    weight_hh : array (G·H, H)
        From the state to the gates.
    bias_ih, bias_hh : array (G·H,)
        The biases of the two products.
    """

    weight_ih: Array
    weight_hh: Array
    bias_ih: Array
    bias_hh: Array


class Recurrence(NamedTuple):
    """The wider contract, for cells that are more than their elementwise maths.

    Attributes
    ----------
    name : str
        The name that a net of this recurrence shows.
    state : type
        A NamedTuple whose fields name the parts of the state, (B, H) each; the first is the output.
    shapes : callable
        ``input_size, hidden_size → named tuple of the parameters' shapes``.
    project : callable
        ``params, x (T, B, I), *, xp → sequence of T step inputs``.
    prepare : callable
        ``params, *, xp → weights``, the form of the parameters that `step` likes best.
    step : callable
        ``weights, input, state, *, xp → new state, residuals``.
    step_backward : callable
        ``params, residuals, state, new state, gradient of the new state, *, xp → record, gradient
        of the state``; the record is a tuple of what `accumulate` needs of this step.
    accumulate : callable
        ``params, x, states, records, *, xp → gradients of params, gradient of x``, with the states
        before each step and the records as tuples of arrays (T, B, …). T may be 0.
    recompute : callable
        ``params, x, states, *, xp → residuals``, with the states before each step and the
        residuals as tuples of arrays (T, B, …).
    gates : callable
        ``first array (T, B, …) of the records → named tuple of arrays (T, B, H)``, the gradients
        of the gates, for those who look inside the backward pass.
    """

    name: str
    state: Any
    shapes: Callable[[int, int], Tree]
    project: Callable[..., Sequence[Any]]
    prepare: Callable[..., Any]
    step: Callable[..., tuple[Any, tuple[Array, ...]]]
    step_backward: Callable[..., tuple[tuple[Array, ...], Any]]
    accumulate: Callable[..., tuple[Tree, Array]]
    recompute: Callable[..., tuple[Array, ...]]
    gates: Callable[[Array], Any]


@lru_cache
def recurrence(cell: Cell) -> Recurrence:
    """Lift the elementwise maths of a cell to a recurrence with `Weights` as its parameters."""
    gates = len(cell.gates._fields)

    def shapes(input_size: int, hidden_size: int) -> Weights:
        rows = gates * hidden_size
        return Weights((rows, input_size), (rows, hidden_size), (rows,), (rows,))

    def project(params: Weights, x: Array, *, xp: Namespace) -> Sequence[Any]:
        steps, batch, _ = x.shape
        u = xp.matmul(flat(x, xp=xp), xp.matrix_transpose(params.weight_ih))
        u += params.bias_ih
        u = xp.reshape(u, (steps, batch, u.shape[1]))
        return [split(u[t, ...]) for t in range(steps)]

    def recompute(
        params: Weights, x: Array, states: tuple[Array, ...], *, xp: Namespace
    ) -> tuple[Array, ...]:
        steps, batch, _ = x.shape
        before = cell.state(*(flat(part, xp=xp) for part in states))
        u = xp.matmul(flat(x, xp=xp), xp.matrix_transpose(params.weight_ih))
        u += params.bias_ih
        v = xp.matmul(before[0], xp.matrix_transpose(params.weight_hh))
        v += params.bias_hh
        _, residuals = cell.forward(split(u), split(v), before, xp=xp)
        return tuple(xp.reshape(r, (steps, batch, *r.shape[1:])) for r in residuals)

    def prepare(params: Weights, *, xp: Namespace) -> tuple[Array, Array]:
        return transposed(params.weight_hh, xp=xp), params.bias_hh

    def step(
        weights: tuple[Array, Array], u: Any, state: Any, *, xp: Namespace
    ) -> tuple[Any, tuple[Array, ...]]:
        weight, bias = weights
        v = xp.matmul(state[0], weight)
        v += bias
        return cell.forward(u, split(v), state, xp=xp)

    def step_backward(
        params: Weights, residuals: tuple[Array, ...], state: Any, new: Any, dnew: Any, *, xp: Any
    ) -> tuple[tuple[Array, ...], Any]:
        du, dv, (direct, *dstate) = cell.backward(residuals, state, new, dnew, xp=xp)
        dv_block = join(dv, xp=xp)
        dh = xp.matmul(dv_block, params.weight_hh)
        if direct is not None:
            dh += direct
        record = (dv_block,) if du is dv else (join(du, xp=xp), dv_block)
        return record, cell.state(dh, *dstate)

    def accumulate(
        params: Weights, x: Array, states: tuple[Array, ...], records: tuple[Array, ...], *, xp: Any
    ) -> tuple[Weights, Array]:
        du, dv = flat(records[0], xp=xp), flat(records[-1], xp=xp)
        dbias_hh = xp.sum(dv, axis=0)
        dparams = Weights(
            weight_ih=xp.matmul(xp.matrix_transpose(du), flat(x, xp=xp)),
            weight_hh=xp.matmul(xp.matrix_transpose(dv), flat(states[0], xp=xp)),
            bias_ih=xp.sum(du, axis=0) if len(records) > 1 else xp.asarray(dbias_hh, copy=True),
            bias_hh=dbias_hh,
        )
        dx = xp.reshape(xp.matmul(du, params.weight_ih), x.shape)
        return dparams, dx

    def split(block: Array) -> Any:
        size = block.shape[-1] // gates
        return cell.gates(*(block[..., k * size : (k + 1) * size] for k in range(gates)))

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
    )


def join(blocks: tuple[Array, ...], *, xp: Namespace) -> Array:
    """Put the gates side by side, (B, G·H), in the order of the weights' rows."""
    return blocks[0] if len(blocks) == 1 else xp.concat(blocks, axis=-1)


def flat(array: Array, *, xp: Namespace) -> Array:
    """Make time and batch one axis, (T·B, …)."""
    steps, batch, *rest = array.shape
    return xp.reshape(array, (steps * batch, *rest))


def transposed(weight: Array, *, xp: Namespace) -> Array:
    """Transpose a matrix, contiguous where the library can write.

    On NumPy with OpenBLAS the product with the contiguous transpose is up to 1.4 times as fast.
    """
    rows, columns = weight.shape
    device = array_api_compat.device(weight)
    copy = xp.empty((columns, rows), dtype=weight.dtype, device=device)
    if not array_api_compat.is_writeable_array(copy):
        return xp.matrix_transpose(weight)
    copy[...] = xp.matrix_transpose(weight)
    return copy
