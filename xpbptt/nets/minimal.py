"""Nets of gated cells with few gates, some of which see the input only."""

from typing import Unpack

from xpbptt._arrays import check
from xpbptt.cells import light_gru, mgu, min_gru, min_lstm
from xpbptt.nets.net import Net
from xpbptt.nets.options import Noise, Size


def MGU(  # noqa: N802 - the name of the net
    input_size: int,
    hidden_size: Size,
    num_layers: int = 1,
    *,
    bidirectional: bool = False,
    **noise: Unpack[Noise],
) -> Net:
    """Make a net of minimal gated units, with one gate [1]_.

    The equations are in `xpbptt.cells.mgu`; the gate acts after the product with W_hh.

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
    .. [1] G.-B. Zhou et al., "Minimal gated unit for recurrent neural networks", International
       Journal of Automation and Computing 13, 2016.

    Examples
    --------
    >>> import xpbptt
    >>> xpbptt.MGU(12, 64)
    MGU(12, 64)
    """
    return Net(mgu.MGU, input_size, hidden_size, num_layers, bidirectional=bidirectional, **noise)


def LightGRU(  # noqa: N802 - the name of the net
    input_size: int,
    hidden_size: Size,
    num_layers: int = 1,
    *,
    bidirectional: bool = False,
    **noise: Unpack[Noise],
) -> Net:
    """Make a net of light gated recurrent units, without a reset gate [1]_.

    The equations are in `xpbptt.cells.light_gru`. Batch normalisation is left to the caller.

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
    .. [1] M. Ravanelli, P. Brakel, M. Omologo and Y. Bengio, "Light gated recurrent units for
       speech recognition", IEEE TETCI 2, 2018.

    Examples
    --------
    >>> import xpbptt
    >>> xpbptt.LightGRU(12, 64)
    LightGRU(12, 64)
    """
    return Net(
        light_gru.LIGHT_GRU,
        input_size,
        hidden_size,
        num_layers,
        bidirectional=bidirectional,
        **noise,
    )


def MinGRU(  # noqa: N802 - the name of the net
    input_size: int,
    hidden_size: Size,
    num_layers: int = 1,
    *,
    positive: bool = True,
    bidirectional: bool = False,
    **noise: Unpack[Noise],
) -> Net:
    """Make a net of minimal gated recurrent units, whose gates see the input only [1]_.

    The equations are in `xpbptt.cells.min_gru`.

    Parameters
    ----------
    input_size : int
        The size I.
    hidden_size : int or tuple of int
        The size H, or that of each layer, the lowest first.
    num_layers : int
        The number of layers. Default: one, or as many as there are sizes.
    positive : bool
        Whether the candidate is made positive, as in the log space of the paper; False for a
        linear candidate.
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
    .. [1] L. Feng et al., "Were RNNs all we needed?", 2024, arXiv:2410.01201.

    Examples
    --------
    >>> import xpbptt
    >>> xpbptt.MinGRU(12, 64)
    MinGRU(12, 64)
    """
    check.true_or_false("positive", positive)
    return Net(
        min_gru.MIN_GRU if positive else min_gru.MIN_GRU_LINEAR,
        input_size,
        hidden_size,
        num_layers,
        bidirectional=bidirectional,
        **noise,
    )


def MinLSTM(  # noqa: N802 - the name of the net
    input_size: int,
    hidden_size: Size,
    num_layers: int = 1,
    *,
    bidirectional: bool = False,
    **noise: Unpack[Noise],
) -> Net:
    """Make a net of minimal LSTM cells, whose gates see the input only [1]_.

    The equations are in `xpbptt.cells.min_lstm`.

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
    .. [1] L. Feng et al., "Were RNNs all we needed?", 2024, arXiv:2410.01201.

    Examples
    --------
    >>> import xpbptt
    >>> xpbptt.MinLSTM(12, 64)
    MinLSTM(12, 64)
    """
    return Net(
        min_lstm.MIN_LSTM, input_size, hidden_size, num_layers, bidirectional=bidirectional, **noise
    )
