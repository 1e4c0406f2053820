"""Weights in panels, packed once for a pass."""

import ctypes
from typing import Any

import numpy as np

from xpbptt._arrays.once import once
from xpbptt._arrays.types import AnyArray
from xpbptt.kernels.llvm import library, pack
from xpbptt.kernels.llvm.build import load
from xpbptt.kernels.llvm.call import addresses, plain
from xpbptt.kernels.llvm.machine import features
from xpbptt.kernels.llvm.sequence import WIDE, Panel
from xpbptt.kernels.llvm.vectors import Vector, vector
from xpbptt.kernels.target import Run


def forward(weight: AnyArray, shape: Panel) -> AnyArray:
    """Return W (G·H, K) in panels, for rows (…, K) to be multiplied by Wᵀ."""
    rows, depth = weight.shape
    hidden = rows // shape.gates
    run, units, columns = _forward(weight.dtype, shape)
    out = np.empty((-(-hidden // units), depth, columns), dtype=weight.dtype)
    weight = plain(weight)
    source, target = addresses((weight, out))
    run(source, depth, hidden, target)
    return out


def backward(weight: AnyArray) -> AnyArray:
    """Return W (K, H) in panels, for rows (…, K) to be multiplied by W."""
    depth, hidden = weight.shape
    run, columns = _backward(weight.dtype)
    out = np.empty((-(-hidden // columns), depth, columns), dtype=weight.dtype)
    weight = plain(weight)
    source, target = addresses((weight, out))
    run(source, depth, hidden, target)
    return out


def padded(hidden: int, dtype: Any) -> int:
    """Return H rounded up to whole panels of `backward`."""
    _, columns = _backward(dtype)
    return -(-hidden // columns) * columns


@once
def _forward(dtype: Any, shape: Panel) -> tuple[Run, int, int]:
    """Return what packs, and the units and columns of a panel."""
    kind = vector(str(dtype), features())
    run = _packer(kind, pack.forward(kind, shape))
    return run, shape.vectors * kind.lanes, shape.tile * kind.lanes


@once
def _backward(dtype: Any) -> tuple[Run, int]:
    """Return what packs, and the columns of a panel."""
    kind = vector(str(dtype), features())
    return _packer(kind, pack.backward(kind)), WIDE * kind.lanes


def _packer(kind: Vector, text: str) -> Run:
    whole, place = ctypes.c_int64, ctypes.c_void_p
    kinds: tuple[Any, ...] = (place, whole, whole, place)
    return load("\n".join([library.declarations(kind), text]), *kinds)
