"""Optimisers in the style of optax: pairs of pure functions over trees of parameters.

A tree may hold the parameters of several layers, as ``{"lstm": params, "readout": ...}``. Nothing
is modified in place, and nothing is read on the host: the step count is a Python int, or an array
if it was passed as one, as under ``jax.jit``.
"""

from xpbptt.optim.adam import AdamState, adam
from xpbptt.optim.clip import clip_by_global_norm
from xpbptt.optim.optimizer import Optimizer, OptimizerInit, OptimizerUpdate
from xpbptt.optim.sgd import SgdState, sgd

__all__ = [
    "AdamState",
    "Optimizer",
    "OptimizerInit",
    "OptimizerUpdate",
    "SgdState",
    "adam",
    "clip_by_global_norm",
    "sgd",
]
