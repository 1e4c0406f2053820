"""Weights from and to the recurrent layers of Keras 3; Keras itself is not imported.

Read are the lists of ``layer.get_weights()``: SimpleRNN, LSTM and GRU, with ``reset_after`` True
and False, alone or in a Bidirectional. For several layers put their lists one after the other.
"""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

from xpbptt._arrays.types import AnyArray, Tree
from xpbptt.cells import GRU, LSTM, RNN_RELU, RNN_TANH
from xpbptt.cells.gru_reset_before import GRU_RESET_BEFORE
from xpbptt.interop import lists
from xpbptt.interop.arrangement import Layout
from xpbptt.nets.stack.stack import Stack

RNN_LAYOUT = Layout("Keras SimpleRNN", (0, 1, 2), gates=("a",), transposed=True)
LSTM_LAYOUT = Layout("Keras LSTM", (0, 1, 2), gates=("i", "f", "g", "o"), transposed=True)
GRU_GATES = ("z", "r", "n")
LAYOUTS = {
    RNN_TANH: RNN_LAYOUT,
    RNN_RELU: RNN_LAYOUT,
    LSTM: LSTM_LAYOUT,
    GRU: Layout("Keras GRU", (0, 1, 2), gates=GRU_GATES, transposed=True, one_bias="rows"),
    GRU_RESET_BEFORE: Layout("Keras GRU", (0, 1, 2), gates=GRU_GATES, transposed=True),
}
BIAS = 2  # its place in the list


def from_weights(
    weights: Sequence[Any], net: Stack, *, xp: ModuleType | None = None, device: Any = None
) -> tuple[Any, ...]:
    """Read the parameters of a net from the weights of Keras layers.

    Parameters
    ----------
    weights : list of array
        What ``layer.get_weights()`` returned: kernel, recurrent kernel and, with ``use_bias``, bias
        of each layer; of a Bidirectional those of the forward layer and then of the backward one.
    net : Net
        The net: `RNN` for a SimpleRNN, `GRU` with the layer's `reset_after`, `bidirectional` for
        a Bidirectional with ``merge_mode="concat"``.
    xp : namespace, optional
        The array library of the result. Default: NumPy.
    device : device, optional
        Where to put the arrays. Default: the library's default.

    Returns
    -------
    params : tree of arrays
        The parameters. Keras has a single bias except in a GRU with `reset_after`: it becomes
        `bias_ih`, and `bias_hh` is zero.

    Raises
    ------
    TypeError, ValueError
        Where the weights are not those of such layers.

    Examples
    --------
    >>> import numpy as np
    >>> import xpbptt
    >>> from xpbptt.interop import keras
    >>> kernel, recurrent_kernel, bias = np.ones((3, 20)), np.ones((5, 20)), np.zeros(20)
    >>> net = xpbptt.LSTM(3, 5)
    >>> keras.from_weights([kernel, recurrent_kernel, bias], net)[0].weight_ih.shape
    (20, 3)
    """
    layout = lists.layout_of(net, LAYOUTS, "Keras")
    units = 3 * net.sizes[0]
    other = {GRU: ((units,), False), GRU_RESET_BEFORE: ((2, units), True)}
    shape, reset_after = other.get(net.cell, (None, None))
    if len(weights) > BIAS and shape == getattr(weights[BIAS], "shape", ()):
        message = (
            f"`weights[{BIAS}]` has shape {shape}: this layer has reset_after={reset_after}; make "
            f"the net as xpbptt.GRU(..., reset_after={reset_after})"
        )
        raise ValueError(message)
    return lists.read(weights, net, layout, xp=xp, device=device, name="weights")


def to_weights(params: Tree, net: Stack, *, use_bias: bool = True) -> list[AnyArray]:
    """Write the parameters of a net as ``layer.set_weights()`` of Keras takes them.

    Parameters
    ----------
    params : tree of arrays
        The parameters.
    net : Net
        The net.
    use_bias : bool
        Whether the layers have biases. Without, those of `params` must be zero.

    Returns
    -------
    weights : list of array
        Kernel, recurrent kernel and bias of each layer and direction. Where Keras has one bias it
        is the sum of both.

    Raises
    ------
    TypeError, ValueError
        Where Keras has no such layer, or `params` do not belong to `net`.
    """
    layout = lists.layout_of(net, LAYOUTS, "Keras")
    return lists.write(params, net, layout, biases=use_bias)
