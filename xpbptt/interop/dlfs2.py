"""Weights from and to the layers of the book "Deep Learning from Scratch 2" by Koki Saitoh.

The book's TimeRNN, TimeLSTM, TimeGRU and TimeBiLSTM (``common/time_layers.py`` of its code) keep
``params = [Wx, Wh, b]``; a TimeBiLSTM keeps six, three for each direction. Its LSTM has the gates f
g i o, its GRU z r n with the reset before the product and h' = (1 - z) h + z n.
"""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

from xpbptt._arrays.types import AnyArray, Tree
from xpbptt.cells import LSTM, RNN_TANH
from xpbptt.cells.gru_reset_before import GRU_RESET_BEFORE
from xpbptt.interop import lists
from xpbptt.interop.arrangement import Layout
from xpbptt.nets.stack.stack import Stack

BOOK = "Deep Learning from Scratch 2"
LAYOUTS = {
    RNN_TANH: Layout(f"{BOOK}, TimeRNN", (0, 1, 2), gates=("a",), transposed=True),
    LSTM: Layout(f"{BOOK}, TimeLSTM", (0, 1, 2), gates=("f", "g", "i", "o"), transposed=True),
    GRU_RESET_BEFORE: Layout(
        f"{BOOK}, TimeGRU", (0, 1, 2), gates=("z", "r", "n"), transposed=True, complement=("z",)
    ),
}


def from_params(
    layer_params: Sequence[Any], net: Stack, *, xp: ModuleType | None = None, device: Any = None
) -> tuple[Any, ...]:
    """Read the parameters of a net from the `params` of the book's layers.

    Parameters
    ----------
    layer_params : list of array
        ``layer.params``, ``[Wx, Wh, b]``; of several layers one after the other.
    net : Net
        The net: `RNN`, `LSTM`, or `GRU` with ``reset_after=False``.
    xp : namespace, optional
        The array library of the result. Default: NumPy.
    device : device, optional
        Where to put the arrays. Default: the library's default.

    Returns
    -------
    params : tree of arrays
        The parameters; b becomes `bias_ih`, and `bias_hh` is zero.

    Raises
    ------
    TypeError, ValueError
        Where the arrays are not those of such layers.
    """
    layout = lists.layout_of(net, LAYOUTS, BOOK)
    return lists.read(layer_params, net, layout, xp=xp, device=device, name="layer_params")


def to_params(params: Tree, net: Stack) -> list[AnyArray]:
    """Write the parameters of a net as the book's layers take them.

    Parameters
    ----------
    params : tree of arrays
        The parameters.
    net : Net
        The net.

    Returns
    -------
    layer_params : list of array
        Wx, Wh and b, the sum of both biases, of each layer and direction.

    Raises
    ------
    TypeError, ValueError
        Where the book has no such layer, or `params` do not belong to `net`.
    """
    return lists.write(params, net, lists.layout_of(net, LAYOUTS, BOOK))
