"""Nets of cells of which each unit sees its own past only."""

from typing import Unpack

from xpbptt.cells import ind_rnn, lru, sru
from xpbptt.nets.net import Net
from xpbptt.nets.options import Noise, Size


def IndRNN(  # noqa: N802 - the name of the net
    input_size: int,
    hidden_size: Size,
    num_layers: int = 1,
    *,
    bidirectional: bool = False,
    **noise: Unpack[Noise],
) -> Net:
    """Make a net of independently recurrent units: each sees its own past only [1]_.

    The equation is in `xpbptt.cells.ind_rnn`.

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
    .. [1] S. Li, W. Li, C. Cook, C. Zhu and Y. Gao, "Independently recurrent neural network
       (IndRNN)", CVPR 2018.

    Examples
    --------
    >>> import xpbptt
    >>> xpbptt.IndRNN(12, 64)
    IndRNN(12, 64)
    """
    return Net(
        ind_rnn.IND_RNN, input_size, hidden_size, num_layers, bidirectional=bidirectional, **noise
    )


def SRU(  # noqa: N802 - the name of the net
    input_size: int,
    hidden_size: Size,
    num_layers: int = 1,
    *,
    bidirectional: bool = False,
    **noise: Unpack[Noise],
) -> Net:
    """Make a net of simple recurrent units: gates see their own unit's past only [1]_.

    The equations are in `xpbptt.cells.sru`.

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
    .. [1] T. Lei et al., "Simple recurrent units for highly parallelizable recurrence", EMNLP 2018.

    Examples
    --------
    >>> import xpbptt
    >>> xpbptt.SRU(12, 64)
    SRU(12, 64)
    """
    return Net(sru.SRU, input_size, hidden_size, num_layers, bidirectional=bidirectional, **noise)


def LRU(  # noqa: N802 - the name of the net
    input_size: int,
    hidden_size: Size,
    num_layers: int = 1,
    *,
    bidirectional: bool = False,
    **noise: Unpack[Noise],
) -> Net:
    """Make a net of linear recurrent units, diagonal and complex [1]_.

    The equations are in `xpbptt.cells.lru`, with how the paper draws the parameters.

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
    .. [1] A. Orvieto et al., "Resurrecting recurrent neural networks for long sequences", ICML
       2023.

    Examples
    --------
    >>> import xpbptt
    >>> xpbptt.LRU(12, 64)
    LRU(12, 64)
    """
    return Net(lru.LRU, input_size, hidden_size, num_layers, bidirectional=bidirectional, **noise)
