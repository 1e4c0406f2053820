"""Inside the backward pass: norms of the gradient at every step, and clipping there."""

from typing import Any, NamedTuple

from xpbptt._tree import map_leaves
from xpbptt.bptt.layer import Array, Namespace, Tree
from xpbptt.bptt.recurrence import Recurrence


class Trace(NamedTuple):
    """The norm of the gradient at every time step, of one layer in one direction.

    Attributes
    ----------
    state : named tuple of arrays (T,)
        Of what arrives at each part of the state after the step, the output's gradient included:
        ``h``, for the LSTM also ``c``.
    gates : named tuple of arrays (T,)
        Of each gate before its nonlinearity, as the input reaches it: ``i f g o`` of the LSTM,
        ``r z n`` of the GRU, ``a`` of the RNN.
    """

    state: Tree
    gates: Tree


def norm(array: Array, *, xp: Namespace) -> Array:
    """Return the Euclidean norm of all numbers, as an array ()."""
    return xp.sqrt(xp.sum(array * array))


def gate_norms(cell: Recurrence, records: tuple[Array, ...], *, xp: Namespace) -> Tree:
    """Return the norms (T,) of the gates that the records (T, B, G·H) of all steps hold."""
    gates = cell.gates(records[0])
    return map_leaves(lambda gate: xp.sqrt(xp.sum(gate * gate, axis=(1, 2))), gates)


def clipped(dstate: Tree, limit: float, *, xp: Namespace) -> list[Array]:
    """Scale the gradient of each sequence's state down to a norm of at most `limit`."""
    squares = sum(xp.sum(part * part, axis=-1, keepdims=True) for part in dstate)
    most = xp.full_like(squares, limit)
    scale = most / xp.maximum(xp.sqrt(squares), most)
    return [part * scale for part in dstate]


def joined(traces: list[Trace], *, xp: Namespace) -> Any:
    """Put the traces of segments one after the other; None if there are none."""
    if not traces:
        return None
    return map_leaves(lambda *norms: xp.concat(norms, axis=0), *traces)
