"""The gradients of the parameters and of the input, from the records of all steps."""

from typing import Any

import numpy as np

from xpbptt._arrays.once import once
from xpbptt._arrays.types import AnyArray
from xpbptt.kernels.llvm import cell, gradients, panels, product, threads
from xpbptt.kernels.llvm.build import load
from xpbptt.kernels.llvm.frames import addresses, plain, words
from xpbptt.kernels.llvm.machine import features
from xpbptt.kernels.llvm.sequence import WIDE
from xpbptt.kernels.llvm.vectors import Vector, vector
from xpbptt.kernels.target import Run


def accumulate(
    params: Any, x: AnyArray, before: AnyArray, records: tuple[AnyArray, ...]
) -> tuple[Any, AnyArray]:
    """Return the gradients of the parameters, and of the input x (T, B, I).

    Parameters
    ----------
    params : Weights
        The parameters.
    x : array (T, B, I)
        The input.
    before : array (T, B, H)
        The part of the state that the product reads, before each step.
    records : tuple of arrays
        du and, where it differs, dv (T, B, G·H); then the gradients (T, B, H) of the cell's own
        parameters.
    """
    own = len(params.extra)
    rows = x.shape[0] * x.shape[1]
    du, *rest = (each.reshape(rows, -1) for each in records[: len(records) - own])
    dbias_ih = du.sum(axis=0)
    dparams = params._replace(weight_ih=weight(du, plain(x).reshape(rows, -1)), bias_ih=dbias_ih)
    if not isinstance(params.weight_hh, tuple):
        dv = rest[0] if rest else du
        dparams = dparams._replace(
            weight_hh=weight(dv, plain(before).reshape(rows, -1)),
            bias_hh=dv.sum(axis=0) if rest else dbias_ih.copy(),
        )
    if own:
        sums = (each.sum(axis=(0, 1)) for each in records[-own:])
        dparams = dparams._replace(extra=type(params.extra)(*sums))
    return dparams, input_(du, plain(params.weight_ih)).reshape(x.shape)


def weight(records: AnyArray, x: AnyArray) -> AnyArray:
    """Return the gradient duᵀ·x (N, I) of records (R, N) and x (R, I)."""
    rows, width = records.shape
    inputs, size = x.shape[1], x.itemsize
    out = np.zeros((width, inputs), dtype=x.dtype)
    run, kind = _weight(x.dtype)
    rooms = gradients.rooms(kind, rows, inputs)
    left, right, target = addresses((records, x, out))
    frames, held = [], []
    for part in threads.parts(width, rows * width * inputs):
        count = part.stop - part.start
        packed = [np.empty(room, dtype=x.dtype) for room in rooms]
        held.append(packed)
        start = left + part.start * size, right, target + part.start * inputs * size
        frames.append(words((rows, count, width, inputs, *start, *addresses(packed))))
    threads.run(run, frames)
    return out


def input_(records: AnyArray, weight: AnyArray) -> AnyArray:
    """Return the gradient du·W (R, I) of records (R, N) and a weight (N, I)."""
    (rows, depth), inputs, size = records.shape, weight.shape[1], weight.itemsize
    out = np.empty((rows, inputs), dtype=weight.dtype)
    run, packed, frames = _input(weight.dtype), panels.backward(weight), []
    left, right, target = addresses((records, packed, out))
    for part in threads.parts(rows, rows * depth * inputs):
        places = left + part.start * depth * size, right, target + part.start * inputs * size
        frames.append(words((part.stop - part.start, depth, inputs, *places)))
    threads.run(run, frames)
    return out


@once
def _weight(dtype: Any) -> tuple[Run, Vector]:
    kind = _vector(dtype)
    return load("\n".join([cell.declarations(kind), gradients.weight(kind)])), kind


@once
def _input(dtype: Any) -> Run:
    kind = _vector(dtype)
    multiply = product.product("product", kind, WIDE, ragged=True)
    return load("\n".join([cell.declarations(kind), multiply, gradients.input_(kind)]))


def _vector(dtype: Any) -> Vector:
    return vector(str(dtype), features())
