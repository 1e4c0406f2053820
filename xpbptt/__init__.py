"""Recurrent networks with hand-written backpropagation through time, for any array library.

Two faces: the time-major nets, as `RNN`, `LSTM` and `GRU` (`xpbptt.nets`), and the eight functions
of the notebook "Building your Recurrent Neural Network - Step by Step" (`xpbptt.notebook`).
"""

import signal as _signal
import sys as _sys

# The command line: Ctrl-C before its own code has begun ends it without a traceback.
if (
    _sys.orig_argv[1:3] == ["-m", "xpbptt"]
    or "".join(_sys.argv[:1]).endswith(("/xpbptt", "xpbptt.exe"))
) and _signal.getsignal(2) is _signal.default_int_handler:
    _signal.signal(2, _signal.SIG_DFL)


from xpbptt import backends as backends
from xpbptt import bridges as bridges
from xpbptt import interop as interop
from xpbptt import parallel as parallel
from xpbptt import plot as plot
from xpbptt import testing as testing
from xpbptt._arrays.types import Array
from xpbptt.bptt import (
    Binomial,
    Budget,
    Gradients,
    KeepAll,
    KeepStates,
    Recurrence,
    Segments,
    Trace,
    Truncated,
    Weights,
)
from xpbptt.cells import Cell
from xpbptt.interop.files import load, save
from xpbptt.losses import mean_squared_error, softmax_cross_entropy
from xpbptt.nets.diagonal import LRU, SRU, IndRNN
from xpbptt.nets.gated import CIFG, LSTMP, SLSTM, PeepholeLSTM
from xpbptt.nets.lengths import length_mask
from xpbptt.nets.linear import Linear, LinearCache, LinearParams
from xpbptt.nets.make import GRU, LSTM, RNN
from xpbptt.nets.minimal import MGU, LightGRU, MinGRU, MinLSTM
from xpbptt.nets.net import Net
from xpbptt.nets.neurons import LIF, CfC, LeakyESN
from xpbptt.nets.normalized import LayerNormGRU, LayerNormLSTM
from xpbptt.nets.stack.signature import Cache
from xpbptt.notebook import (
    lstm_backward,
    lstm_cell_backward,
    lstm_cell_forward,
    lstm_forward,
    rnn_backward,
    rnn_cell_backward,
    rnn_cell_forward,
    rnn_forward,
)
from xpbptt.optim import Optimizer, adam, clip_by_global_norm, sgd

__all__ = [
    "Array",
    "Binomial",
    "Budget",
    "CIFG",
    "Cache",
    "Cell",
    "CfC",
    "GRU",
    "Gradients",
    "IndRNN",
    "KeepAll",
    "KeepStates",
    "LIF",
    "LRU",
    "LSTM",
    "LSTMP",
    "LayerNormGRU",
    "LayerNormLSTM",
    "LeakyESN",
    "LightGRU",
    "Linear",
    "LinearCache",
    "LinearParams",
    "MGU",
    "MinGRU",
    "MinLSTM",
    "Net",
    "Optimizer",
    "PeepholeLSTM",
    "RNN",
    "Recurrence",
    "SLSTM",
    "SRU",
    "Segments",
    "Trace",
    "Truncated",
    "Weights",
    "adam",
    "clip_by_global_norm",
    "length_mask",
    "load",
    "lstm_backward",
    "lstm_cell_backward",
    "lstm_cell_forward",
    "lstm_forward",
    "mean_squared_error",
    "rnn_backward",
    "rnn_cell_backward",
    "rnn_cell_forward",
    "rnn_forward",
    "save",
    "sgd",
    "softmax_cross_entropy",
]
__version__ = "0.1.0"
