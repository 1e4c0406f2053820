"""Inside the backward pass: norms of the gradient at every step."""

from typing import Any, NamedTuple

from xpbptt._arrays.norms import norm
from xpbptt._arrays.tree import map_leaves
from xpbptt._arrays.types import AnyArray, Namespace, Tree
from xpbptt.cells.recurrence import Recurrence


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


def gate_norms(cell: Recurrence, records: tuple[AnyArray, ...], *, xp: Namespace) -> Tree:
    """Return the norms (T,) of the gates that the records (T, B, G·H) of all steps hold."""
    gates = cell.gates(records[0])
    return map_leaves(lambda gate: norm([gate], (1, 2), xp=xp)[:, 0, 0], gates)


def joined(traces: list[Trace], *, xp: Namespace) -> Any:
    """Put the traces of segments one after the other; None if there are none."""
    if not traces:
        return None
    return map_leaves(lambda *norms: xp.concat(norms, axis=0), *traces)
