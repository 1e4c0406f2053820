"""Weights from and to other libraries, without importing them."""

from xpbptt.interop import torch as torch
