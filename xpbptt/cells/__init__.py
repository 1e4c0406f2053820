"""The cells: the elementwise maths of one time step and nothing else."""

from xpbptt.cells.activations import sigmoid
from xpbptt.cells.cell import Cell, CellBackward, CellForward
from xpbptt.cells.gru import GRU
from xpbptt.cells.lstm import LSTM
from xpbptt.cells.rnn import RNN_RELU, RNN_TANH

__all__ = [
    "Cell",
    "CellBackward",
    "CellForward",
    "GRU",
    "LSTM",
    "RNN_RELU",
    "RNN_TANH",
    "sigmoid",
]
