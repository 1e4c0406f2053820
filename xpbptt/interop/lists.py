"""Weights in a list, as layers of Keras and of several books keep them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

from xpbptt._arrays.types import AnyArray, Tree
from xpbptt.interop import layout as by_layout
from xpbptt.interop.arrangement import MATRICES, Layout
from xpbptt.nets.stack.stack import Stack


def layout_of(net: Stack, layouts: Mapping[Any, Layout], library: str) -> Layout:
    """Return the layout of a net's cell; refuse a cell that a library does not have."""
    if not isinstance(net, Stack):
        message = f"`net` must be a net, as xpbptt.LSTM(3, 5), got {type(net).__name__}"
        raise TypeError(message)
    if net.cell not in layouts:
        known = ", ".join(dict.fromkeys(cell.name for cell in layouts))
        message = f"`net` is {net}, whose cell {library} does not have; it has {known}"
        raise ValueError(message)
    return layouts[net.cell]


def read(
    arrays: Sequence[Any],
    net: Stack,
    layout: Layout,
    *,
    xp: ModuleType | None,
    device: Any,
    name: str,
) -> tuple[Any, ...]:
    """Read parameters from a list, in which all layers have biases or none has."""
    if not isinstance(arrays, (list, tuple)):
        message = f"`{name}` must be a list of arrays, got {type(arrays).__name__}"
        raise TypeError(message)
    entries, each = net.num_layers * net.directions, len(layout.names)
    if len(arrays) == entries * MATRICES:
        layout = without_biases(layout)
    elif len(arrays) != entries * each:
        message = (
            f"`{name}` has {len(arrays)} arrays, expected {each} for each layer and direction of "
            f"{net}, {entries * each}, or without biases {entries * MATRICES}"
        )
        raise ValueError(message)
    found = dict(enumerate(arrays))
    return by_layout.read(found, net, layout, xp=xp, device=device, name=name)


def write(params: Tree, net: Stack, layout: Layout, *, biases: bool = True) -> list[AnyArray]:
    """Write parameters as a list."""
    arrays = by_layout.write(params, net, layout if biases else without_biases(layout))
    return [arrays[place] for place in range(len(arrays))]


def without_biases(layout: Layout) -> Layout:
    """Return the layout of a layer without biases."""
    return replace(layout, names=layout.names[:MATRICES])
