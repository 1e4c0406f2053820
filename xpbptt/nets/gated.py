"""Nets of further LSTM cells."""

from typing import Unpack

from xpbptt._arrays import check
from xpbptt.cells import cifg, lstmp, peephole, slstm
from xpbptt.nets.net import Net
from xpbptt.nets.options import Noise, Size


def PeepholeLSTM(  # noqa: N802 - the name of the net
    input_size: int,
    hidden_size: Size,
    num_layers: int = 1,
    *,
    bidirectional: bool = False,
    **noise: Unpack[Noise],
) -> Net:
    """Make a net of LSTM cells whose gates also see the memory cell [1]_.

    The equations are in `xpbptt.cells.peephole`.

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
    .. [1] F. A. Gers, N. N. Schraudolph and J. Schmidhuber, "Learning precise timing with LSTM
       recurrent networks", JMLR 3, 2002.

    Examples
    --------
    >>> import xpbptt
    >>> xpbptt.PeepholeLSTM(12, 64)
    PeepholeLSTM(12, 64)
    """
    return Net(
        peephole.PEEPHOLE_LSTM,
        input_size,
        hidden_size,
        num_layers,
        bidirectional=bidirectional,
        **noise,
    )


def CIFG(  # noqa: N802 - the name of the net
    input_size: int,
    hidden_size: Size,
    num_layers: int = 1,
    *,
    bidirectional: bool = False,
    **noise: Unpack[Noise],
) -> Net:
    """Make a net of LSTM cells that forget as much as they let in [1]_.

    The equations are in `xpbptt.cells.cifg`.

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
    .. [1] K. Greff et al., "LSTM: a search space odyssey", IEEE TNNLS 28, 2017.

    Examples
    --------
    >>> import xpbptt
    >>> xpbptt.CIFG(12, 64)
    CIFG(12, 64)
    """
    return Net(
        cifg.CIFG_LSTM, input_size, hidden_size, num_layers, bidirectional=bidirectional, **noise
    )


def SLSTM(  # noqa: N802 - the name of the net
    input_size: int,
    hidden_size: Size,
    num_layers: int = 1,
    *,
    heads: int = 1,
    bidirectional: bool = False,
    **noise: Unpack[Noise],
) -> Net:
    """Make a net of the scalar LSTM of xLSTM, in its stabilised form [1]_.

    The equations are in `xpbptt.cells.slstm`.

    Parameters
    ----------
    input_size : int
        The size I.
    hidden_size : int or tuple of int
        The size H, or that of each layer, the lowest first.
    num_layers : int
        The number of layers. Default: one, or as many as there are sizes.
    heads : int
        The number of heads, which divides H: groups of units of which each sees itself only.
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
        Where a size is not an int or is below 1, or `heads` does not divide H.

    References
    ----------
    .. [1] M. Beck et al., "xLSTM: extended long short-term memory", NeurIPS 2024.

    Examples
    --------
    >>> import xpbptt
    >>> xpbptt.SLSTM(12, 64, heads=4).init(0)[0].weight_hh.shape
    (256, 16)
    """
    check.whole("heads", heads)
    return Net(
        slstm.with_heads(heads),
        input_size,
        hidden_size,
        num_layers,
        bidirectional=bidirectional,
        **noise,
    )


def LSTMP(  # noqa: N802 - the name of the net
    input_size: int,
    hidden_size: Size,
    num_layers: int = 1,
    *,
    proj_size: int,
    bidirectional: bool = False,
    **noise: Unpack[Noise],
) -> Net:
    """Make a net of LSTM cells with projection, as `torch.nn.LSTM` with its `proj_size` [1]_.

    The equations are in `xpbptt.cells.lstmp`. Outputs and the state h have P columns. With zoneout
    it runs eagerly, in `infer` too.

    Parameters
    ----------
    input_size : int
        The size I.
    hidden_size : int or tuple of int
        The size H, or that of each layer, the lowest first.
    num_layers : int
        The number of layers. Default: one, or as many as there are sizes.
    proj_size : int
        The columns P of the output, at least 1.
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
    .. [1] H. Sak, A. Senior and F. Beaufays, "Long short-term memory recurrent neural network
       architectures for large scale acoustic modeling", Interspeech 2014.

    Examples
    --------
    >>> import xpbptt
    >>> xpbptt.LSTMP(12, 64, proj_size=16).output_size
    16
    """
    check.whole("proj_size", proj_size)
    return Net(
        lstmp.make_lstmp(int(proj_size)),
        input_size,
        hidden_size,
        num_layers,
        bidirectional=bidirectional,
        **noise,
    )
