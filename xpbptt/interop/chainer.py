"""Weights from and to the recurrent links of Chainer; Chainer itself is not imported.

Read are the arrays by the names that ``chainer.serializers.save_npz`` gives them, as ``numpy.load``
returns them: of NStepRNNTanh, NStepRNNReLU, NStepLSTM, NStepGRU and their Bi- forms with any number
of layers, and of the links LSTM and StatefulGRU (or Stateless-), which are one layer.
"""

from collections.abc import Mapping
from types import ModuleType
from typing import Any, Literal

from xpbptt._arrays.types import AnyArray, Tree
from xpbptt.cells import GRU, LSTM, RNN_RELU, RNN_TANH
from xpbptt.cells.gru_reset_before import GRU_RESET_BEFORE
from xpbptt.interop import layout as by_layout
from xpbptt.interop import lists
from xpbptt.interop.arrangement import Layout
from xpbptt.nets.stack.stack import Stack


def _n_step(library: str, gates: tuple[str, ...]) -> Layout:
    """Return the layout of an NStep link: w0, w1, … of the input and then those of the state."""
    count = len(gates)
    names = tuple(
        tuple(f"{{index}}/{kind}{first + gate}" for gate in range(count))
        for kind in ("w", "b")
        for first in (0, count)
    )
    return Layout(library, names, gates=gates)


_GRU_NAMES = (
    ("W_r/W", "W_z/W", "W/W"),
    ("U_r/W", "U_z/W", "U/W"),
    ("W_r/b", "W_z/b", "W/b"),
    ("U_r/b", "U_z/b", "U/b"),
)
N_STEP = {
    RNN_TANH: _n_step("Chainer NStepRNNTanh", ("a",)),
    RNN_RELU: _n_step("Chainer NStepRNNReLU", ("a",)),
    LSTM: _n_step("Chainer NStepLSTM", ("i", "f", "o", "g")),
    GRU: _n_step("Chainer NStepGRU", ("r", "z", "n")),
}
SINGLE = {
    LSTM: Layout(
        "Chainer LSTM",
        ("upward/W", "lateral/W", "upward/b"),
        gates=("g", "i", "f", "o"),
        interleaved=True,
    ),
    GRU_RESET_BEFORE: Layout(
        "Chainer StatefulGRU", _GRU_NAMES, gates=("r", "z", "n"), complement=("z",)
    ),
}


def from_npz(
    arrays: Mapping[str, Any],
    net: Stack,
    *,
    xp: ModuleType | None = None,
    prefix: str = "",
    device: Any = None,
) -> tuple[Any, ...]:
    """Read the parameters of a net from the arrays of a Chainer link.

    Parameters
    ----------
    arrays : mapping of str to array
        What ``numpy.load`` returned of a file by ``save_npz``.
    net : Net
        The net: `LSTM` for an NStepLSTM or an LSTM; `GRU` for an NStepGRU, and with
        ``reset_after=False`` for a StatefulGRU.
    xp : namespace, optional
        The array library of the result. Default: NumPy.
    prefix : str
        Only names that start so are read, as ``"encoder/"``; the others are ignored.
    device : device, optional
        Where to put the arrays. Default: the library's default.

    Returns
    -------
    params : tree of arrays
        The parameters.

    Raises
    ------
    TypeError, ValueError
        Where the arrays are not those of such a link.
    """
    layout = _layout(net, "single" if f"{prefix}upward/W" in arrays else None)
    return by_layout.read(arrays, net, layout, xp=xp, prefix=prefix, device=device)


def to_npz(
    params: Tree, net: Stack, *, prefix: str = "", link: Literal["NStep", "single"] | None = None
) -> dict[str, AnyArray]:
    """Write the parameters of a net under the names of a Chainer link.

    Parameters
    ----------
    params : tree of arrays
        The parameters.
    net : Net
        The net.
    prefix : str
        The beginning of each name.
    link : {"NStep", "single"}, optional
        Whether an LSTM of one layer is for the link NStepLSTM or LSTM. Default: NStepLSTM.

    Returns
    -------
    arrays : dict of str to array
        For ``numpy.savez``, and from there ``chainer.serializers.load_npz``.

    Raises
    ------
    TypeError, ValueError
        Where Chainer has no such link, or `params` do not belong to `net`.
    """
    if link not in (None, "NStep", "single"):
        message = f"`link` must be 'NStep' or 'single', got {link!r}"
        raise ValueError(message)
    return by_layout.write(params, net, _layout(net, link), prefix=prefix)


def _layout(net: Stack, link: str | None) -> Layout:
    """Return the layout of the link for a net."""
    found = lists.layout_of(net, {**SINGLE, **N_STEP} if link != "single" else SINGLE, "Chainer")
    if found in SINGLE.values() and (net.num_layers > 1 or net.bidirectional):
        message = f"`net` is {net}, but the link of {found.library} is one layer in one direction"
        raise ValueError(message)
    return found
