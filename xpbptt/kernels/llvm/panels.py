"""Weights in panels, packed once for a pass."""

import ctypes
from typing import Any

import numpy as np

from xpbptt._arrays.once import once
from xpbptt._arrays.types import AnyArray
from xpbptt.kernels.llvm import cell, pack
from xpbptt.kernels.llvm.build import load
from xpbptt.kernels.llvm.frames import address, plain
from xpbptt.kernels.llvm.machine import features
from xpbptt.kernels.llvm.sequence import WIDE, panel
from xpbptt.kernels.llvm.vectors import Vector, vector
from xpbptt.kernels.target import Run


def forward(weight: AnyArray, hidden: int) -> AnyArray:
    """Return W (G·H, K) in panels, for rows (…, K) to be multiplied by Wᵀ."""
    rows, depth = weight.shape
    shape, lanes = panel(rows // hidden), vector(str(weight.dtype), features()).lanes
    panels = -(-hidden // (shape.vectors * lanes))
    out = np.empty((panels, depth, shape.tile * lanes), dtype=weight.dtype)
    weight = plain(weight)
    _forward(str(weight.dtype), shape.gates)(address(weight), depth, hidden, address(out))
    return out


def backward(weight: AnyArray) -> AnyArray:
    """Return W (K, H) in panels, for rows (…, K) to be multiplied by W."""
    depth, hidden = weight.shape
    columns = WIDE * vector(str(weight.dtype), features()).lanes
    out = np.empty((-(-hidden // columns), depth, columns), dtype=weight.dtype)
    weight = plain(weight)
    _backward(str(weight.dtype))(address(weight), depth, hidden, address(out))
    return out


@once
def _forward(dtype: str, gates: int) -> Run:
    kind = vector(dtype, features())
    return _packer(kind, pack.forward(kind, gates))


@once
def _backward(dtype: str) -> Run:
    kind = vector(dtype, features())
    return _packer(kind, pack.backward(kind))


def _packer(kind: Vector, text: str) -> Run:
    whole, place = ctypes.c_int64, ctypes.c_void_p
    kinds: tuple[Any, ...] = (place, whole, whole, place)
    return load("\n".join([cell.declarations(kind), text]), *kinds)
