"""Reading and writing the weights of other libraries by a description, a `Layout`."""

from collections.abc import Mapping
from itertools import product
from types import ModuleType
from typing import Any

import numpy as np

from xpbptt._arrays import check
from xpbptt._arrays.namespace import standard
from xpbptt._arrays.types import AnyArray, Namespace, Tree
from xpbptt.cells import LSTM, RNN_RELU, RNN_TANH
from xpbptt.cells.cell import Cell
from xpbptt.cells.gru import Gates as GRUGates
from xpbptt.cells.gru_reset_before import GRU_RESET_BEFORE
from xpbptt.cells.recurrence import Weights
from xpbptt.interop import blocks
from xpbptt.interop.arrangement import MATRICES, Layout, Sizes
from xpbptt.interop.tensors import check_tensor, convert
from xpbptt.nets.stack import signature
from xpbptt.nets.stack.stack import Stack

__all__ = ["Layout", "read", "write"]

NAMED = 8  # the most names in a message
ADDED = (RNN_TANH, RNN_RELU, LSTM, GRU_RESET_BEFORE)  # cells that only add their two biases


def read(
    arrays: Mapping[Any, Any],
    net: Stack,
    layout: Layout,
    *,
    xp: ModuleType | None = None,
    device: Any = None,
    prefix: str = "",
    name: str = "arrays",
) -> tuple[Any, ...]:
    """Read the parameters of a net from another library's arrays.

    Parameters
    ----------
    arrays : mapping of str or int to array
        The arrays, of any library, by the names of the layout; for a layout with positions,
        ``dict(enumerate(a_list))``. Where a layer has no biases they become zeros.
    net : Net
        The net.
    layout : Layout
        How the arrays are arranged.
    xp : namespace, optional
        The array library of the result. Default: NumPy.
    device : device, optional
        Where to put the arrays. Default: where they are if they are of that library, otherwise
        the library's default.
    prefix : str
        Only names that start so are read; the others are ignored.
    name : str
        What `arrays` is called in messages.

    Returns
    -------
    params : tree of arrays
        The parameters, copied, with the dtype they had.

    Raises
    ------
    TypeError, ValueError
        Where an array is missing or left over, has another shape than this net's, or dtypes
        differ.
    """
    if not isinstance(arrays, Mapping):
        message = f"`{name}` must be a mapping of names to arrays, got {type(arrays).__name__}"
        raise TypeError(message)
    sizes = sizes_of(net, layout)
    meaning = f"the shape of {layout.library} for {net}"
    return read_sizes(
        arrays, sizes, layout, xp=xp, device=device, prefix=prefix, name=name, meaning=meaning
    )


def write(params: Tree, net: Stack, layout: Layout, *, prefix: str = "") -> dict[Any, AnyArray]:
    """Write the parameters of a net, or their gradients, as another library's arrays.

    Parameters
    ----------
    params : tree of arrays
        The parameters.
    net : Net
        The net.
    layout : Layout
        How the arrays are to be arranged.
    prefix : str
        The beginning of each name.

    Returns
    -------
    arrays : dict of str or int to array
        Arrays of the library of `params`; where nothing is to be rearranged, the same ones.

    Raises
    ------
    TypeError, ValueError
        Where `params` are not this net's, or the layout has no place for them: it has fewer
        biases, and what they hold cannot be added up, or is not zero.
    """
    sizes = sizes_of(net, layout)
    params, found = check.conform("params", params, signature.parameters(net))
    check.one_namespace([(path, leaf) for path, leaf, _ in found])
    check.shapes(found)
    pairs = [entry if net.bidirectional else (entry,) for entry in params]
    _check_biases(pairs, net, layout)
    return write_pairs(pairs, sizes, layout, prefix=prefix)


def sizes_of(net: Stack, layout: Layout) -> Sizes:
    """Return the sizes of a net that a layout fits; refuse others."""
    if not isinstance(net, Stack):
        message = f"`net` must be a net, as xpbptt.LSTM(3, 5), got {type(net).__name__}"
        raise TypeError(message)
    gates = _gates(net, layout)
    if layout.gates is not None and sorted(layout.gates) != sorted(gates):
        message = (
            f"`net` is {net} with the gates {' '.join(gates)}, but this layout of "
            f"{layout.library} is for the gates {' '.join(layout.gates)}"
        )
        raise ValueError(message)
    return Sizes(net.input_size, net.sizes, gates, net.directions)


def _gates(net: Stack, layout: Layout) -> tuple[str, ...]:
    """Return the names of a net's gates, in order; refuse a cell with other parameters."""
    if net.cell == GRU_RESET_BEFORE:
        return GRUGates._fields
    cell = net.cell
    if isinstance(cell, Cell) and (cell.extra, cell.recurrent, cell.projection) == (None, None, 0):
        return tuple(cell.gates._fields)
    message = (
        f"`net` is {net}, whose cell has other parameters than those of two products: "
        f"{layout.library} has no place for them"
    )
    raise ValueError(message)


def read_sizes(
    arrays: Mapping[Any, Any],
    sizes: Sizes,
    layout: Layout,
    *,
    xp: ModuleType | None,
    device: Any,
    prefix: str,
    name: str,
    meaning: str,
) -> tuple[Any, ...]:
    """Read the parameters of a net that is known by its sizes; see `read`."""
    xp = standard(np if xp is None else xp)
    found = {
        (key.removeprefix(prefix) if prefix else key): (f"{name}[{key!r}]", array)
        for key, array in arrays.items()
        if not prefix or (isinstance(key, str) and key.startswith(prefix))
    }
    entries = _find(found, sizes, layout, name)
    for k, entry in enumerate(entries):
        for place, parts in enumerate(entry):
            layer = k // sizes.directions
            shape, hidden = _shape(place, layout, sizes, layer=layer), sizes.hidden[layer]
            for each, tensor in parts:
                check_tensor(each, tensor)
                advice = _advice(tensor, shape, place, layout, hidden, len(sizes.gates))
                _check_shape(each, tensor, shape, meaning, advice)
    arrays_of = [
        [[(each, convert(each, t, xp=xp, device=device)) for each, t in parts] for parts in entry]
        for entry in entries
    ]
    check.one_namespace(named for entry in arrays_of for parts in entry for named in parts)
    weights = [
        _weights([[array for _, array in parts] for parts in entry], layout, sizes, xp=xp)
        for entry in arrays_of
    ]
    if sizes.directions == 1:
        return tuple(weights)
    return tuple(zip(weights[::2], weights[1::2], strict=True))


def write_pairs(
    pairs: list[Any], sizes: Sizes, layout: Layout, *, prefix: str
) -> dict[Any, AnyArray]:
    """Write parameters that are known to be in order: for each layer a tuple of directions."""
    found: dict[Any, AnyArray] = {}
    for (layer, pair), direction in product(enumerate(pairs), range(sizes.directions)):
        weights = pair[direction]
        xp = check.array_namespace("params", weights.weight_ih)
        for name, parts in zip(layout.names, _parts(weights, layout, sizes, xp=xp), strict=True):
            keys = layout.keys(name, layer, direction, sizes.directions)
            names = [f"{prefix}{key}" if isinstance(key, str) else key for key in keys]
            found.update(zip(names, parts, strict=True))
    return found


def _find(
    found: dict[Any, tuple[str, Any]], sizes: Sizes, layout: Layout, name: str
) -> list[list[list[tuple[str, Any]]]]:
    """Return for each layer and direction the named arrays by each name of the layout."""
    entries, missing = [], []
    unknown = dict(found)
    for layer, direction in product(range(len(sizes.hidden)), range(sizes.directions)):
        keys = [layout.keys(each, layer, direction, sizes.directions) for each in layout.names]
        if not any(key in found for part in keys[MATRICES:] for key in part):
            keys = keys[:MATRICES]
        every = [key for part in keys for key in part]
        missing += [key for key in every if key not in found]
        unknown = {key: value for key, value in unknown.items() if key not in every}
        entries.append([[found[key] for key in part if key in found] for part in keys])
    if missing:
        message = f"`{name}` lacks {_some(missing)}"
        if unknown:
            message += f", and has {_some(list(unknown))} instead"
        raise ValueError(message)
    if unknown:
        message = (
            f"`{name}` has {_some(list(unknown))}, which this layout of {layout.library} has no "
            "place for: has the net as many layers and directions as the arrays?"
        )
        raise ValueError(message)
    return entries


def _some(keys: list[Any]) -> str:
    more = len(keys) - NAMED
    return f"{keys[:NAMED]}" + (f" and {more} more" if more > 0 else "")


def _shape(place: int, layout: Layout, sizes: Sizes, *, layer: int) -> tuple[int, ...]:
    """Return the shape of an array by the name in that place of a layout's names."""
    hidden = sizes.hidden[layer]
    rows = hidden * (1 if layout.one_a_gate(place) else len(sizes.gates))
    if place >= MATRICES:
        one = len(layout.names) == MATRICES + 1
        shapes = {"sum": (rows,), "rows": (2, rows), "halves": (2 * rows,)}
        return shapes[layout.one_bias] if one else (rows,)
    columns = sizes.output(layer) if place else sizes.width(layer)
    return (columns, rows) if layout.transposed else (rows, columns)


def _check_shape(name: str, tensor: Any, shape: tuple[int, ...], meaning: str, advice: str) -> None:
    """Refuse an array of another shape."""
    came = tuple(tensor.shape)
    if came != shape:
        message = f"`{name}` has shape {came}, expected {meaning} = {shape}{advice}"
        raise ValueError(message)


def _advice(
    tensor: Any, shape: tuple[int, ...], place: int, layout: Layout, hidden: int, own: int
) -> str:
    """Say what an array of another shape may be, for a layer of so many units and gates."""
    came = tuple(tensor.shape)
    if place >= MATRICES or len(came) != MATRICES:
        return ""
    rows, columns = came[::-1] if layout.transposed else came
    gates = rows // hidden
    if came == shape[::-1]:
        return ": it is transposed"
    if place and columns != hidden:
        return f": it is of {columns} hidden units, this net has {hidden}"
    if gates != own and rows == gates * hidden and not layout.one_a_gate(place):
        return f": that is {gates} gates (RNN 1, GRU 3, LSTM 4), this net has {own}"
    return ""


def _weights(
    parts: list[list[AnyArray]], layout: Layout, sizes: Sizes, *, xp: Namespace
) -> Weights:
    """Return the arrays of a layer and direction as `Weights`."""
    matrices, biases = parts[:MATRICES], parts[MATRICES:]
    weights = [blocks.to_rows(part, layout, sizes.gates, matrix=True, xp=xp) for part in matrices]
    if not biases:
        zeros = xp.zeros_like(weights[0][:, 0])
        weights += [zeros, xp.zeros_like(zeros)]
        return Weights(*weights)
    if len(biases) == 1:
        biases = blocks.two_biases(layout, biases[0], xp=xp)
    weights += [blocks.to_rows(part, layout, sizes.gates, matrix=False, xp=xp) for part in biases]
    return Weights(*weights)


def _parts(
    weights: Weights, layout: Layout, sizes: Sizes, *, xp: Namespace
) -> list[list[AnyArray]]:
    """Return the arrays of a layer and direction by each name of a layout."""
    parts = [
        blocks.from_rows(array, layout, sizes.gates, place, xp=xp)
        for place, array in enumerate(weights[:4])
    ]
    if len(layout.names) == MATRICES + 1:
        return [*parts[:MATRICES], blocks.one_bias(layout, *parts[MATRICES:], xp=xp)]
    return parts[: len(layout.names)]


def _check_biases(pairs: list[Any], net: Stack, layout: Layout) -> None:
    """Refuse biases that a layout without place for two would lose."""
    kept = len(layout.names) - MATRICES
    if kept > 1 or (kept and (layout.one_bias != "sum" or net.cell in ADDED)):
        return
    for weights in (weights for pair in pairs for weights in pair):
        for field in ("bias_hh",) if kept else ("bias_ih", "bias_hh"):
            bias = getattr(weights, field)
            xp = check.array_namespace(field, bias)
            if bool(xp.any(bias != 0)):
                message = (
                    f"`params` have a `{field}` that is not zero, but this layout of "
                    f"{layout.library} has {('no', 'one')[kept]} bias, in which {net} would lose it"
                )
                raise ValueError(message)
