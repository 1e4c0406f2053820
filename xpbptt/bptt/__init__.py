"""Backpropagation through time: the loop over time and the combinators of layers."""

from xpbptt.bptt.engines.trace import Trace
from xpbptt.bptt.layers.combinators import bidirectional, chain, concatenate, reverse
from xpbptt.bptt.layers.dropout import dropout
from xpbptt.bptt.layers.layer import Gradients, Layer, Run, StartGradients, Watch
from xpbptt.bptt.loop import unroll
from xpbptt.bptt.strategies import (
    Binomial,
    Budget,
    KeepAll,
    KeepStates,
    Segments,
    Strategy,
    Truncated,
)
from xpbptt.cells.elementwise import recurrence
from xpbptt.cells.recurrence import Recurrence, Weights

__all__ = [
    "Binomial",
    "Budget",
    "Gradients",
    "KeepAll",
    "KeepStates",
    "Layer",
    "Recurrence",
    "Run",
    "Segments",
    "StartGradients",
    "Strategy",
    "Trace",
    "Truncated",
    "Watch",
    "Weights",
    "bidirectional",
    "chain",
    "concatenate",
    "dropout",
    "recurrence",
    "reverse",
    "unroll",
]
