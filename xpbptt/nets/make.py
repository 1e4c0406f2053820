"""The nets RNN, LSTM and GRU: the cells put together."""

from typing import Literal, Unpack, overload

from xpbptt._arrays import check
from xpbptt._arrays.types import StateT
from xpbptt.bptt import Trace, Weights
from xpbptt.cells import gru, lstm, rnn
from xpbptt.cells.gru_reset_before import GRU_RESET_BEFORE
from xpbptt.nets.net import Net
from xpbptt.nets.options import Noise, Size

OneWay = Net[Weights, StateT, Trace]
BothWays = Net[tuple[Weights, Weights], tuple[StateT, StateT], tuple[Trace, Trace]]


@overload
def RNN(
    input_size: int,
    hidden_size: Size,
    num_layers: int = 1,
    *,
    nonlinearity: Literal["tanh", "relu"] = "tanh",
    bidirectional: Literal[False] = False,
    **noise: Unpack[Noise],
) -> OneWay[rnn.State]: ...


@overload
def RNN(
    input_size: int,
    hidden_size: Size,
    num_layers: int = 1,
    *,
    nonlinearity: Literal["tanh", "relu"] = "tanh",
    bidirectional: Literal[True],
    **noise: Unpack[Noise],
) -> BothWays[rnn.State]: ...


@overload
def RNN(
    input_size: int,
    hidden_size: Size,
    num_layers: int = 1,
    *,
    nonlinearity: Literal["tanh", "relu"] = "tanh",
    bidirectional: bool,
    **noise: Unpack[Noise],
) -> Net: ...


def RNN(  # noqa: N802 - the name of the net
    input_size: int,
    hidden_size: Size,
    num_layers: int = 1,
    *,
    nonlinearity: Literal["tanh", "relu"] = "tanh",
    bidirectional: bool = False,
    **noise: Unpack[Noise],
) -> Net:
    """Make a simple recurrent net, h' = φ(W_ih x + b_ih + W_hh h + b_hh).

    Parameters
    ----------
    input_size : int
        The size I.
    hidden_size : int or tuple of int
        The size H, or that of each layer, the lowest first.
    num_layers : int
        The number of layers. Default: one, or as many as there are sizes.
    nonlinearity : {"tanh", "relu"}
        The function φ.
    bidirectional : bool
        Whether every layer also runs from the last step to the first.
    **noise
        `dropout`, `recurrent_dropout` and `zoneout`, as for `Net`.

    Returns
    -------
    net : Net
        The net.

    Raises
    ------
    TypeError, ValueError
        Where a size is not an int or is below 1, or the nonlinearity is unknown.

    References
    ----------
    .. [1] J. L. Elman, "Finding structure in time", Cognitive Science 14, 1990.

    Examples
    --------
    >>> import xpbptt
    >>> xpbptt.RNN(3, 5, nonlinearity="relu")
    RNN-relu(3, 5)
    """
    known = {"tanh": rnn.RNN_TANH, "relu": rnn.RNN_RELU}
    if nonlinearity not in list(known):  # a list: the value may have no hash
        message = f"`nonlinearity` must be one of {sorted(known)}, got {nonlinearity!r}"
        raise ValueError(message)
    cell = known[nonlinearity]
    return Net(cell, input_size, hidden_size, num_layers, bidirectional=bidirectional, **noise)


@overload
def LSTM(
    input_size: int,
    hidden_size: Size,
    num_layers: int = 1,
    *,
    bidirectional: Literal[False] = False,
    **noise: Unpack[Noise],
) -> OneWay[lstm.State]: ...


@overload
def LSTM(
    input_size: int,
    hidden_size: Size,
    num_layers: int = 1,
    *,
    bidirectional: Literal[True],
    **noise: Unpack[Noise],
) -> BothWays[lstm.State]: ...


@overload
def LSTM(
    input_size: int,
    hidden_size: Size,
    num_layers: int = 1,
    *,
    bidirectional: bool,
    **noise: Unpack[Noise],
) -> Net: ...


def LSTM(  # noqa: N802 - the name of the net
    input_size: int,
    hidden_size: Size,
    num_layers: int = 1,
    *,
    bidirectional: bool = False,
    **noise: Unpack[Noise],
) -> Net:
    """Make a net of long short-term memory cells; the gates are ordered i f g o.

    Parameters
    ----------
    input_size : int
        The size I.
    hidden_size : int or tuple of int
        The size H, or that of each layer, the lowest first.
    num_layers : int
        The number of layers. Default: one, or as many as there are sizes.
    bidirectional : bool
        Whether every layer also runs from the last step to the first.
    **noise
        `dropout`, `recurrent_dropout` and `zoneout`, as for `Net`.

    Returns
    -------
    net : Net
        The net.

    Raises
    ------
    TypeError, ValueError
        Where a size is not an int or is below 1.

    References
    ----------
    .. [1] S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9, 1997.
    .. [2] F. A. Gers, J. Schmidhuber and F. Cummins, "Learning to forget: continual prediction
       with LSTM", Neural Computation 12, 2000.

    Examples
    --------
    >>> import xpbptt
    >>> xpbptt.LSTM(12, 64, num_layers=2, bidirectional=True)
    LSTM(12, 64, num_layers=2, bidirectional=True)
    """
    return Net(lstm.LSTM, input_size, hidden_size, num_layers, bidirectional=bidirectional, **noise)


@overload
def GRU(
    input_size: int,
    hidden_size: Size,
    num_layers: int = 1,
    *,
    reset_after: bool = True,
    bidirectional: Literal[False] = False,
    **noise: Unpack[Noise],
) -> OneWay[gru.State]: ...


@overload
def GRU(
    input_size: int,
    hidden_size: Size,
    num_layers: int = 1,
    *,
    reset_after: bool = True,
    bidirectional: Literal[True],
    **noise: Unpack[Noise],
) -> BothWays[gru.State]: ...


@overload
def GRU(
    input_size: int,
    hidden_size: Size,
    num_layers: int = 1,
    *,
    reset_after: bool = True,
    bidirectional: bool,
    **noise: Unpack[Noise],
) -> Net: ...


def GRU(  # noqa: N802 - the name of the net
    input_size: int,
    hidden_size: Size,
    num_layers: int = 1,
    *,
    reset_after: bool = True,
    bidirectional: bool = False,
    **noise: Unpack[Noise],
) -> Net:
    """Make a net of gated recurrent units; the gates are ordered r z n.

    By default the reset gate acts after the product with W_hh, as in PyTorch and cuDNN.

    Parameters
    ----------
    input_size : int
        The size I.
    hidden_size : int or tuple of int
        The size H, or that of each layer, the lowest first.
    num_layers : int
        The number of layers. Default: one, or as many as there are sizes.
    reset_after : bool
        False for the reset gate before the product with W_hh, as Cho et al. have it [1]_; that
        takes a second product in each step.
    bidirectional : bool
        Whether every layer also runs from the last step to the first.
    **noise
        `dropout`, `recurrent_dropout` and `zoneout`, as for `Net`.

    Returns
    -------
    net : Net
        The net.

    Raises
    ------
    TypeError, ValueError
        Where a size is not an int or is below 1.

    References
    ----------
    .. [1] K. Cho et al., "Learning phrase representations using RNN encoder-decoder for
       statistical machine translation", EMNLP 2014.

    Examples
    --------
    >>> import xpbptt
    >>> xpbptt.GRU(12, 64)
    GRU(12, 64)
    """
    check.true_or_false("reset_after", reset_after)
    cell = gru.GRU if reset_after else GRU_RESET_BEFORE
    return Net(cell, input_size, hidden_size, num_layers, bidirectional=bidirectional, **noise)
