"""Nets of cells that normalise their gates."""

from typing import Unpack

from xpbptt.cells import layer_norm_gru, layer_norm_lstm
from xpbptt.nets.net import Net
from xpbptt.nets.options import Noise, Size


def LayerNormLSTM(  # noqa: N802 - the name of the net
    input_size: int,
    hidden_size: Size,
    num_layers: int = 1,
    *,
    bidirectional: bool = False,
    **noise: Unpack[Noise],
) -> Net:
    """Make a net of LSTM cells with layer normalisation of gates and memory cell [1]_.

    The equations are in `xpbptt.cells.layer_norm_lstm`. Gains are kept as their distance from 1.

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
    .. [1] J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer normalization", 2016, arXiv:1607.06450.

    Examples
    --------
    >>> import xpbptt
    >>> xpbptt.LayerNormLSTM(12, 64)
    LayerNormLSTM(12, 64)
    """
    return Net(
        layer_norm_lstm.LAYER_NORM_LSTM,
        input_size,
        hidden_size,
        num_layers,
        bidirectional=bidirectional,
        **noise,
    )


def LayerNormGRU(  # noqa: N802 - the name of the net
    input_size: int,
    hidden_size: Size,
    num_layers: int = 1,
    *,
    bidirectional: bool = False,
    **noise: Unpack[Noise],
) -> Net:
    """Make a net of gated recurrent units with layer normalisation [1]_.

    The equations are in `xpbptt.cells.layer_norm_gru`. Gains are kept as their distance from 1.

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
    .. [1] J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer normalization", 2016, arXiv:1607.06450.

    Examples
    --------
    >>> import xpbptt
    >>> xpbptt.LayerNormGRU(12, 64)
    LayerNormGRU(12, 64)
    """
    return Net(
        layer_norm_gru.LAYER_NORM_GRU,
        input_size,
        hidden_size,
        num_layers,
        bidirectional=bidirectional,
        **noise,
    )
