"""The cells: the elementwise maths of one time step and nothing else."""

from xpbptt.cells.activations import log_sigmoid, sigmoid
from xpbptt.cells.cell import Cell, CellBackward, CellForward
from xpbptt.cells.cfc import CFC
from xpbptt.cells.cifg import CIFG_LSTM
from xpbptt.cells.gru import GRU
from xpbptt.cells.ind_rnn import IND_RNN
from xpbptt.cells.layer_norm_gru import LAYER_NORM_GRU
from xpbptt.cells.layer_norm_lstm import LAYER_NORM_LSTM
from xpbptt.cells.leaky_esn import make_leaky_esn
from xpbptt.cells.lif import make_lif
from xpbptt.cells.light_gru import LIGHT_GRU
from xpbptt.cells.lru import LRU
from xpbptt.cells.lstm import LSTM
from xpbptt.cells.lstmp import make_lstmp
from xpbptt.cells.mgu import MGU
from xpbptt.cells.min_gru import MIN_GRU, MIN_GRU_LINEAR
from xpbptt.cells.min_lstm import MIN_LSTM
from xpbptt.cells.peephole import PEEPHOLE_LSTM
from xpbptt.cells.rnn import RNN_RELU, RNN_TANH
from xpbptt.cells.slstm import SLSTM
from xpbptt.cells.sru import SRU

BUILT_IN = (
    *(RNN_TANH, RNN_RELU, LSTM, GRU, PEEPHOLE_LSTM, CIFG_LSTM, LAYER_NORM_LSTM, LAYER_NORM_GRU),
    *(MGU, LIGHT_GRU, MIN_GRU, MIN_GRU_LINEAR, MIN_LSTM, IND_RNN, SRU, SLSTM, LRU, CFC),
)

__all__ = [
    "BUILT_IN",
    "CFC",
    "CIFG_LSTM",
    "Cell",
    "CellBackward",
    "CellForward",
    "GRU",
    "IND_RNN",
    "LAYER_NORM_GRU",
    "LAYER_NORM_LSTM",
    "LIGHT_GRU",
    "LRU",
    "LSTM",
    "MGU",
    "MIN_GRU",
    "MIN_GRU_LINEAR",
    "MIN_LSTM",
    "PEEPHOLE_LSTM",
    "RNN_RELU",
    "RNN_TANH",
    "SLSTM",
    "SRU",
    "log_sigmoid",
    "make_leaky_esn",
    "make_lif",
    "make_lstmp",
    "sigmoid",
]
