"""The blocks of the gates, from a library's arrays to those of `Weights` and back.

An array here has a row for each unit of each gate, a block of H rows a gate. An array of a library
is known by a `Layout`.
"""

from collections.abc import Sequence

from xpbptt._arrays.types import AnyArray, Namespace
from xpbptt.interop.arrangement import MATRICES, Layout

Parts = list[AnyArray]  # the arrays by one name of a layout: one, or one a gate


def to_rows(
    parts: Parts, layout: Layout, own: Sequence[str], *, matrix: bool, xp: Namespace
) -> AnyArray:
    """Return a library's arrays as one array with the gates in the order `own`."""
    theirs = layout.gates or own
    if matrix and layout.transposed:
        parts = [_transposed(part, xp=xp) for part in parts]
    if _plain(layout, own, parts):
        return parts[0]
    if len(parts) == 1:
        parts = _split(parts[0], len(theirs), interleaved=layout.interleaved, xp=xp)
    return xp.concat(_ordered(parts, theirs, own, layout.complement), axis=0)


def from_rows(
    array: AnyArray, layout: Layout, own: Sequence[str], place: int, *, xp: Namespace
) -> Parts:
    """Return a field of `Weights`, known by its place, as a library has it."""
    one_a_gate, matrix = layout.one_a_gate(place), place < MATRICES
    parts = [array]
    if one_a_gate or not _plain(layout, own, parts):
        blocks = _split(array, len(own), xp=xp)
        parts = _ordered(blocks, own, layout.gates or own, layout.complement)
        if layout.interleaved:
            parts = [xp.reshape(xp.stack(parts, axis=1), array.shape)]
        elif not one_a_gate:
            parts = [xp.concat(parts, axis=0)]
    return [_transposed(part, xp=xp) for part in parts] if matrix and layout.transposed else parts


def two_biases(layout: Layout, parts: Parts, *, xp: Namespace) -> list[Parts]:
    """Return the one bias of a library as that of the input and that of the state."""
    if layout.one_bias == "sum":
        return [parts, [xp.zeros_like(part) for part in parts]]
    rows = xp.reshape(parts[0], (2, -1))
    return [[rows[0, :]], [rows[1, :]]]


def one_bias(layout: Layout, bias_ih: Parts, bias_hh: Parts, *, xp: Namespace) -> Parts:
    """Return two biases as the one of a library."""
    if layout.one_bias == "sum":
        return [one + other for one, other in zip(bias_ih, bias_hh, strict=True)]
    join = xp.stack if layout.one_bias == "rows" else xp.concat
    return [join((*bias_ih, *bias_hh), axis=0)]


def _plain(layout: Layout, own: Sequence[str], parts: Parts) -> bool:
    """Tell whether the blocks are where they belong."""
    in_order = layout.gates is None or tuple(layout.gates) == tuple(own)
    return in_order and len(parts) == 1 and not layout.complement and not layout.interleaved


def _split(array: AnyArray, gates: int, *, xp: Namespace, interleaved: bool = False) -> Parts:
    rows, *rest = array.shape
    if interleaved:
        units = xp.reshape(array, (rows // gates, gates, *rest))
        return [units[:, gate, ...] for gate in range(gates)]
    size = rows // gates
    return [array[gate * size : (gate + 1) * size, ...] for gate in range(gates)]


def _ordered(
    blocks: Parts, present: Sequence[str], wanted: Sequence[str], complement: Sequence[str]
) -> Parts:
    """Return the blocks of the gates `present` in the order `wanted`.

    Where a gate sigmoid(a) is 1 - the gate of the other side, a has the other sign there.
    """
    found = dict(zip(present, blocks, strict=True))
    return [-found[gate] if gate in complement else found[gate] for gate in wanted]


def _transposed(array: AnyArray, *, xp: Namespace) -> AnyArray:
    """Return a transposed copy; reshaping puts its elements in the order of the rows."""
    rows, columns = array.shape
    return xp.reshape(xp.reshape(xp.matrix_transpose(array), (-1,)), (columns, rows))
