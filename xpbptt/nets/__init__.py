"""Nets: a cell over whole sequences, in layers and directions."""

from xpbptt.nets.make import GRU, LSTM, RNN

__all__ = ["GRU", "LSTM", "RNN"]
