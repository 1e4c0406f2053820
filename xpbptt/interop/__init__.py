"""Weights from and to other libraries, without importing them."""

from xpbptt.interop import chainer as chainer
from xpbptt.interop import dlfs2 as dlfs2
from xpbptt.interop import keras as keras
from xpbptt.interop import layout as layout
from xpbptt.interop import onnx as onnx
from xpbptt.interop import rtneural as rtneural
from xpbptt.interop import torch as torch
