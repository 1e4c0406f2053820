"""Recurrent nets from and to the JSON models of RTNeural, for audio in real time.

RTNeural reads the weights of Keras layers (``python/model_utils.py`` of its sources). Read here are
LSTM or GRU layers and, after them, one dense layer without activation, the readout.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from xpbptt._arrays import atomic, check
from xpbptt._arrays.check import Expected
from xpbptt._arrays.host import to_numpy
from xpbptt._arrays.namespace import standard
from xpbptt._arrays.types import Tree
from xpbptt.cells import GRU, LSTM
from xpbptt.interop import keras, lists
from xpbptt.interop.tensors import convert
from xpbptt.nets.linear import LinearParams
from xpbptt.nets.net import Net
from xpbptt.nets.stack.stack import Stack

KINDS = {"lstm": LSTM, "gru": GRU}
NAMES: dict[Any, str] = {cell: kind for kind, cell in KINDS.items()}
LAYOUTS = {cell: replace(keras.LAYOUTS[cell], library=f"RTNeural {NAMES[cell]}") for cell in NAMES}
DENSE = ("dense", "time-distributed-dense")
ARRAYS = {"lstm": 3, "gru": 3, "dense": 2}


def load(
    model: Any, *, dtype: str = "float32", xp: ModuleType | None = None, device: Any = None
) -> tuple[Net, tuple[Any, ...], LinearParams | None]:
    """Read a recurrent net from a JSON model of RTNeural.

    Parameters
    ----------
    model : str, path or mapping
        The file, or what it holds.
    dtype : {"float32", "float64"}
        The dtype of the parameters.
    xp : namespace, optional
        The array library of the result. Default: NumPy.
    device : device, optional
        Where to put the arrays. Default: the library's default.

    Returns
    -------
    net : Net
        An `LSTM`, or a `GRU` with the reset after the product.
    params : tree of arrays
        Its parameters.
    readout : LinearParams or None
        Those of the dense layer, for `Linear`; None if there is none.

    Raises
    ------
    TypeError, ValueError
        Where the file is not such a model, or has other layers.
    """
    name, layers = _layers(model)
    kinds = [_field(layer, "type", f"{name}: layers[{k}]") for k, layer in enumerate(layers)]
    recurrent = [kind for kind in kinds if kind in KINDS]
    dense = kinds[len(recurrent) :]
    if not recurrent or len(set(recurrent)) > 1 or kinds[: len(recurrent)] != recurrent:
        message = f"{name} has the layers {kinds}, expected lstm or gru layers of one kind first"
        raise ValueError(message)
    if len(dense) > 1 or any(kind not in DENSE for kind in dense):
        message = (
            f"{name} has the layers {kinds}: after the recurrent ones expected a dense layer or "
            "nothing; take the others out"
        )
        raise ValueError(message)
    arrays = [_arrays(layer, k, name, dtype) for k, layer in enumerate(layers)]
    kind, first = recurrent[0], arrays[0]
    sizes = tuple(each[1].shape[0] for each in arrays[: len(recurrent)])
    net: Net = Net(KINDS[kind], first[0].shape[0], sizes)
    weights = [array for each in arrays[: len(recurrent)] for array in each]
    params = lists.read(weights, net, LAYOUTS[KINDS[kind]], xp=xp, device=device, name=name)
    if not dense:
        return net, params, None
    kernel, bias = arrays[-1]
    check.shape(f"{name}: layers[-1]", bias, kernel.shape[1:], "(O,) of its kernel")
    check.shape(f"{name}: layers[-1]", kernel, (net.output_size, *bias.shape), f"(H, O) of {net}")
    xp = standard(np if xp is None else xp)
    parts = (np.ascontiguousarray(kernel.T), bias)
    return net, params, LinearParams(*(convert(name, each, xp=xp, device=device) for each in parts))


def save(
    net: Stack,
    params: Tree,
    path: str | os.PathLike[str],
    *,
    readout: LinearParams | None = None,
) -> None:
    """Write a net as a JSON model that RTNeural reads, whole or not at all.

    Parameters
    ----------
    net : Net
        An `LSTM`, or a `GRU` with the reset after the product, in one direction.
    params : tree of arrays
        Its parameters. An LSTM of RTNeural has one bias, the sum of both.
    path : str or path
        The file.
    readout : LinearParams, optional
        The parameters of a `Linear` on its output, which become a dense layer.

    Raises
    ------
    TypeError, ValueError
        Where RTNeural has no such net, or a number is not finite.
    OSError
        Where the file cannot be written.
    """
    layout = lists.layout_of(net, LAYOUTS, "RTNeural")
    if net.bidirectional:
        message = f"`net` is {net}, but RTNeural runs a stream, in one direction"
        raise ValueError(message)
    arrays = [to_numpy(each) for each in lists.write(params, net, layout)]
    kind, each = NAMES[net.cell], ARRAYS[NAMES[net.cell]]
    layers = [
        _layer(kind, "tanh", hidden, arrays[k * each : (k + 1) * each])
        for k, hidden in enumerate(net.sizes)
    ]
    if readout is not None:
        size = readout[1].shape[0]
        expected = LinearParams(
            Expected((size, net.output_size), f"(O, H) of {net}"), Expected((size,), "(O,)")
        )
        readout, found = check.conform("readout", readout, expected)
        check.shapes(found)
        weight, bias = map(to_numpy, readout)
        layers.append(_layer("dense", "", size, [weight.T, bias]))
    content = {"in_shape": [None, None, net.input_size], "layers": layers}
    try:
        text = json.dumps(content, allow_nan=False)
    except ValueError as error:
        message = "`params` or `readout` hold numbers that are not finite, which JSON does not have"
        raise ValueError(message) from error
    atomic.write(Path(path), text.encode())


def _layer(kind: str, activation: str, size: int, weights: list[Any]) -> dict[str, Any]:
    numbers = [array.tolist() for array in weights]
    return {"type": kind, "activation": activation, "shape": [None, None, size], "weights": numbers}


def _layers(model: Any) -> tuple[str, list[Any]]:
    """Return the layers of a model, and what it is called in messages."""
    name = "model"
    if isinstance(model, (str, os.PathLike)):
        name = str(model)
        try:
            model = json.loads(Path(model).read_bytes())
        except (ValueError, RecursionError) as error:
            message = f"{name} is no JSON file, or a damaged one: {error}"
            raise ValueError(message) from error
    if not isinstance(model, Mapping):
        message = f"{name} must be a path or the object of a JSON model, got {type(model).__name__}"
        raise TypeError(message)
    layers = model.get("layers")
    if not isinstance(layers, list) or not layers:
        found = list(model)[:5]
        message = f"{name} is no model of RTNeural: it has {found}, expected in_shape and layers"
        raise ValueError(message)
    return name, layers


def _field(layer: Any, field: str, name: str) -> Any:
    if not isinstance(layer, Mapping) or field not in layer:
        message = f"{name} has no {field!r}"
        raise ValueError(message)
    return layer[field]


def _arrays(layer: Any, place: int, name: str, dtype: str) -> list[Any]:
    """Return the weights of a layer, and refuse what it does beside them."""
    name = f"{name}: layers[{place}]"
    kind = "dense" if layer["type"] in DENSE else layer["type"]
    activation = layer.get("activation", "")
    if activation not in ("", "tanh" if kind in KINDS else ""):
        message = f"{name}, of type {kind}, has the activation {activation!r}: take it out"
        raise ValueError(message)
    weights, shape = _field(layer, "weights", name), _field(layer, "shape", name)
    if not isinstance(weights, list) or len(weights) != ARRAYS[kind]:
        message = f"{name}, of type {kind}, must have {ARRAYS[kind]} arrays as weights"
        raise ValueError(message)
    try:
        arrays = [np.asarray(each, dtype=dtype) for each in weights]
    except (ValueError, TypeError) as error:
        message = f"{name} has weights that are no arrays of numbers: {error}"
        raise ValueError(message) from error
    ranks = [array.ndim for array in arrays]
    if ranks[:-1] != [2] * (len(arrays) - 1):
        message = f"{name} has weights of {ranks} axes, expected matrices and a bias"
        raise ValueError(message)
    if not isinstance(shape, list) or not shape or shape[-1] != arrays[-2].shape[kind == "dense"]:
        message = f"{name} says of itself the shape {shape}, but its weights are {arrays[-2].shape}"
        raise ValueError(message)
    return arrays
