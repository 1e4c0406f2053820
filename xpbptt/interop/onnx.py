"""Recurrent nets from and to ONNX models; needs the package onnx, the extra ``onnx``."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from xpbptt._arrays import atomic
from xpbptt._arrays.host import to_numpy
from xpbptt._arrays.types import Tree
from xpbptt.cells import GRU, LSTM, RNN_RELU, RNN_TANH
from xpbptt.cells.cell import Cell
from xpbptt.cells.gru_reset_before import GRU_RESET_BEFORE
from xpbptt.cells.recurrence import Recurrence
from xpbptt.interop import layout as by_layout
from xpbptt.interop import lists, onnx_graph
from xpbptt.interop.arrangement import Layout
from xpbptt.nets.net import Net
from xpbptt.nets.stack.stack import Stack

NAMES = ("{index}/W", "{index}/R", "{index}/B")
RNN_LAYOUT = Layout("ONNX RNN", NAMES, gates=("a",), one_bias="halves")
GRU_LAYOUT = Layout("ONNX GRU", NAMES, gates=("z", "r", "n"), one_bias="halves")
LAYOUTS = {
    RNN_TANH: RNN_LAYOUT,
    RNN_RELU: RNN_LAYOUT,
    LSTM: Layout("ONNX LSTM", NAMES, gates=("i", "o", "f", "g"), one_bias="halves"),
    GRU: GRU_LAYOUT,
    GRU_RESET_BEFORE: GRU_LAYOUT,
}
CELLS: dict[onnx_graph.Kind, Cell | Recurrence] = {
    ("RNN", "Tanh", 0): RNN_TANH,
    ("RNN", "Relu", 0): RNN_RELU,
    ("LSTM", "Sigmoid", 0): LSTM,
    ("GRU", "Sigmoid", 1): GRU,
    ("GRU", "Sigmoid", 0): GRU_RESET_BEFORE,
}
KINDS = {cell: kind for kind, cell in CELLS.items()}
OPSET, IR = 14, 8  # of 2021, which every runtime in use reads
LARGEST = 2**31 - 2**20  # bytes of a model in one file


def load(model: Any, *, xp: Any = None, device: Any = None) -> tuple[Net, tuple[Any, ...]]:
    """Read a recurrent net from an ONNX model.

    Read are the nodes RNN, LSTM and GRU, in one direction or both, each on the output of the one
    before, as ``torch.onnx.export`` and `save` write them. The axes may be rearranged between the
    nodes. The net takes the input of the first node, (T, B, I), and returns the output of the
    last, (T, B, D·H). Initial states are arguments of the net's calls.

    Parameters
    ----------
    model : str, path or onnx.ModelProto
        The model, or its file.
    xp : namespace, optional
        The array library of the parameters. Default: NumPy.
    device : device, optional
        Where to put them. Default: the library's default.

    Returns
    -------
    net : Net
        The net.
    params : tree of arrays
        Its parameters.

    Raises
    ------
    ImportError
        Where onnx is not installed.
    TypeError, ValueError
        Where the model is not of such nodes alone, or a node has what a net here does not: other
        activations, clip, input_forget, layout, peepholes, a learned initial state.
    """
    onnx_graph.library()
    name = "model"
    if isinstance(model, (str, os.PathLike)):
        name, model = str(model), onnx_graph.parse(Path(model))
    nodes = onnx_graph.nodes(model, name)
    first = nodes[0]
    for node in nodes[1:]:
        if (node.kind, node.directions) != (first.kind, first.directions):
            message = (
                f"{name} has the nodes {first.text} and {node.text}, which differ in kind or "
                "direction: a net has the same cell in every layer; load them one by one"
            )
            raise ValueError(message)
    net: Net = Net(
        CELLS[first.kind],
        first.inputs,
        tuple(node.hidden for node in nodes),
        bidirectional=first.directions == onnx_graph.BOTH,
    )
    arrays = {
        f"{layer * node.directions + direction}/{key}": array[direction]
        for layer, node in enumerate(nodes)
        for key, array in node.arrays.items()
        for direction in range(node.directions)
    }
    params = by_layout.read(arrays, net, LAYOUTS[net.cell], xp=xp, device=device, name=name)
    return net, params


def save(net: Stack, params: Tree, path: str | os.PathLike[str]) -> None:
    """Write a net and its parameters as an ONNX model, whole or not at all.

    The model has the inputs ``x (T, B, I)`` and, for each layer k, ``h0_l{k}`` and for an LSTM
    ``c0_l{k}``, each (D, B, H); its outputs are ``y (T, B, D·H)``, ``hn_l{k}`` and ``cn_l{k}``. T
    and B are free. Dropout is left out, as in `Net.infer`.

    Parameters
    ----------
    net : Net
        An `RNN`, `LSTM` or `GRU`.
    params : tree of arrays
        Its parameters, in float16, float32 or float64; runtimes may not have all of them.
    path : str or path
        The file.

    Raises
    ------
    ImportError
        Where onnx is not installed.
    TypeError, ValueError
        Where ONNX does not have the net's cell, `params` do not belong to `net`, or they are
        larger than the 2 GiB of one file.
    OSError
        Where the file cannot be written.
    """
    onnx_graph.library()
    layout = lists.layout_of(net, LAYOUTS, "ONNX")
    found = {key: to_numpy(each) for key, each in by_layout.write(params, net, layout).items()}
    size = sum(array.nbytes for array in found.values())
    if size > LARGEST:
        message = f"`params` are {size} bytes, more than the 2 GiB that an ONNX file can hold"
        raise ValueError(message)
    layers = [
        {
            key: np.stack([found[f"{k * net.directions + d}/{key}"] for d in range(net.directions)])
            for key in ("W", "R", "B")
        }
        for k in range(net.num_layers)
    ]
    kind = KINDS[net.cell]
    model = onnx_graph.model(kind, layers, net.recurrence.state._fields, opset=OPSET, ir=IR)
    atomic.write(Path(path), model.SerializeToString())
