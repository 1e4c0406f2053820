"""What a net is: a cell over whole sequences, time first, in layers and directions.

T time steps, B sequences in the batch, I inputs, H hidden units, D directions (1, or 2 for a
bidirectional net), G gates of the cell.
"""

from dataclasses import replace
from typing import Any

from xpbptt._arrays.types import StateT, TraceT, WeightsT
from xpbptt.nets.calls.ask import Ask
from xpbptt.nets.calls.backward import Backward
from xpbptt.nets.calls.derivatives import Derivatives
from xpbptt.nets.calls.forward import Forward
from xpbptt.nets.calls.infer import Infer
from xpbptt.nets.calls.init import Init
from xpbptt.nets.calls.step import Step


class Net(
    Init[WeightsT, StateT, TraceT],
    Ask[WeightsT, StateT, TraceT],
    Forward[WeightsT, StateT, TraceT],
    Backward[WeightsT, StateT, TraceT],
    Infer[WeightsT, StateT, TraceT],
    Step[WeightsT, StateT, TraceT],
    Derivatives[WeightsT, StateT, TraceT],
):
    """A recurrent net: its sizes and the functions on sequences that follow from them.

    `LSTM`, `GRU` and `RNN` make the common ones. A net holds no arrays: parameters and states go in
    and come out as trees, tuples with one entry a layer; where the net is bidirectional an entry
    is a pair, forward direction first. In a tree of parameters the entries are `Weights` with the
    fields ``weight_ih (G·H, I)``, ``weight_hh (G·H, H)``, ``bias_ih`` and ``bias_hh (G·H,)``, for
    the layers above the first with D·H in place of I. In a state they are named tuples of arrays
    (B, H): ``(h, c)`` of an LSTM, ``(h,)`` of a GRU or RNN. Tensors of torch that require grad are
    refused, as autograd would record every step: pass ``tensor.detach()``.

    Parameters
    ----------
    cell : Cell or Recurrence
        The time step: the elementwise maths of a cell, or the wider contract.
    input_size : int
        The size I.
    hidden_size : int or tuple of int
        The size H, or that of each layer, the lowest first.
    num_layers : int
        The number of layers. Default: one, or as many as there are sizes.
    bidirectional : bool
        Whether every layer also runs from the last step to the first.
    dropout : float
        The share of each layer's output that `forward` drops before the layer above.
    recurrent_dropout : float
        The share of the state that W_hh does not see in `forward`, the same elements at every step
        of a sequence [1]_; what it sees is divided by 1 - p.
    zoneout : float or tuple of float
        The share of the state that a step of `forward` leaves what it was, other elements at every
        step [2]_, of all parts of the state or of each. `infer`, `step` and streams compute the
        expectation.

    Raises
    ------
    TypeError, ValueError
        Where a size is not an int or is below 1, or `dropout` is not from 0 to below 1.

    Warns
    -----
    UserWarning
        Where there is `dropout` and only one layer, so that nothing is dropped.

    References
    ----------
    .. [1] Y. Gal and Z. Ghahramani, "A theoretically grounded application of dropout in recurrent
       neural networks", NeurIPS 2016.
    .. [2] D. Krueger et al., "Zoneout: regularizing RNNs by randomly preserving hidden
       activations", ICLR 2017.

    Examples
    --------
    >>> import xpbptt
    >>> from xpbptt.cells import RNN_TANH
    >>> xpbptt.Net(RNN_TANH, 3, 5, num_layers=2)
    RNN(3, 5, num_layers=2)
    """


def without_noise(net: Net[WeightsT, StateT, TraceT]) -> Net[WeightsT, StateT, TraceT]:
    """Return the net whose `forward` computes what `infer` of `net` does."""
    quiet: dict[str, Any] = {"dropout": 0.0, "recurrent_dropout": 0.0, "zoneout": 0.0}
    return replace(net, cell=net.average, **quiet)
