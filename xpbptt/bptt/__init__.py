"""Backpropagation through time: the loop over time and the combinators of layers."""

from xpbptt.bptt.combinators import bidirectional, chain, concatenate, reverse
from xpbptt.bptt.layer import Gradients, Layer
from xpbptt.bptt.loop import unroll
from xpbptt.bptt.masks import length_mask, masked
from xpbptt.bptt.recurrence import Recurrence, Weights, recurrence
from xpbptt.bptt.strategies import (
    Binomial,
    Budget,
    KeepAll,
    KeepStates,
    Segments,
    Strategy,
    Truncated,
)

__all__ = [
    "Binomial",
    "Budget",
    "Gradients",
    "KeepAll",
    "KeepStates",
    "Layer",
    "Recurrence",
    "Segments",
    "Strategy",
    "Truncated",
    "Weights",
    "bidirectional",
    "chain",
    "concatenate",
    "length_mask",
    "masked",
    "recurrence",
    "reverse",
    "unroll",
]
