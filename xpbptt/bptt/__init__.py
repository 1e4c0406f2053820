"""Backpropagation through time: the loop over time and the combinators of layers."""

from xpbptt.bptt.combinators import bidirectional, chain, concatenate, reverse
from xpbptt.bptt.layer import Gradients, Layer
from xpbptt.bptt.loop import unroll
from xpbptt.bptt.masks import length_mask, masked
from xpbptt.bptt.recurrence import Recurrence, Weights, recurrence

__all__ = [
    "Gradients",
    "Layer",
    "Recurrence",
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
