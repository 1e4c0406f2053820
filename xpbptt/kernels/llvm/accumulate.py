"""The gradients of the parameters and of the input, from the records of all steps."""

from typing import Any

import numpy as np

from xpbptt._arrays.once import once
from xpbptt._arrays.types import AnyArray
from xpbptt.cells.projection import Projection
from xpbptt.kernels.llvm import call, gradients, library, panels
from xpbptt.kernels.llvm.build import load
from xpbptt.kernels.llvm.call import address, addresses, plain, words
from xpbptt.kernels.llvm.machine import features
from xpbptt.kernels.llvm.vectors import Vector, vector
from xpbptt.kernels.target import Run


def accumulate(
    params: Any, x: AnyArray, before: AnyArray, records: tuple[AnyArray, ...], sums: Any
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
        du and, where it differs, dv (T, B, G·H); then the gradients of the cell's own parameters
        for each sequence, (1, B, …), or the gradient of a projection and what it is of.
    sums : Weights or None
        Gradients of the parameters that these are added to.
    """
    projected, rows = isinstance(params.extra, Projection), x.shape[0] * x.shape[1]
    own = len(records) - (2 if projected else len(params.extra))
    du, *rest = (each.reshape(rows, -1) for each in records[:own])
    if sums is None:
        sums = _zeros(params, du.dtype)
    pairs = [(du, plain(x).reshape(rows, -1))]
    if not isinstance(params.weight_hh, tuple):
        pairs.append((rest[0] if rest else du, plain(before).reshape(rows, -1)))
    totals = [(sums.weight_ih, sums.bias_ih), (sums.weight_hh, sums.bias_hh)][: len(pairs)]
    if projected:
        dh, m = (each.reshape(rows, -1) for each in records[own:])
        pairs.append((dh, m))
        totals.append((sums.extra.weight_hr, np.zeros(dh.shape[1], dtype=dh.dtype)))  # no bias
    dx = _gradients(pairs, plain(params.weight_ih), totals)
    if projected:
        return sums, dx.reshape(x.shape)
    for total, each in zip(sums.extra, records[own:], strict=True):
        np.add(total, np.add.reduce(each, axis=(0, 1)), out=total)
    return sums, dx.reshape(x.shape)


def _zeros(params: Any, dtype: Any) -> Any:
    """Return what the gradients of the parameters are added to at first."""

    def zeros(leaf: Any) -> Any:
        return leaf if isinstance(leaf, tuple) else np.zeros(leaf.shape, dtype=dtype)

    *own, extra = params
    return type(params)(*map(zeros, own), type(extra)(*map(zeros, extra)))


def _gradients(
    pairs: list[tuple[AnyArray, AnyArray]],
    weight_ih: AnyArray,
    totals: list[tuple[AnyArray, AnyArray]],
) -> AnyArray:
    """Return du·W_ih; add duᵀ·x and the sums of du, for each pair of du (R, N) and x (R, I)."""
    dtype, (rows, depth), inputs = weight_ih.dtype, pairs[0][0].shape, weight_ih.shape[1]
    run, kind = _compiled(dtype)
    packed, dx = panels.backward(weight_ih), np.empty((rows, inputs), dtype=dtype)
    weights, biases = zip(*totals, strict=True)
    groups = zip(pairs, totals, strict=True)
    arrays = [each for pair, total in groups for each in (*pair, *total)]
    panel, out, *places = addresses([packed, dx, *arrays])
    widths, size = [len(bias) for bias in biases], dtype.itemsize
    left, right = gradients.rooms(kind, rows, max(x.shape[1] for _, x in pairs))
    work = rows * (depth * inputs + sum(weight.size for weight in weights))
    frames, held = [], []
    for some, *parts in call.shares(work, rows, *widths):
        count, first = some.stop - some.start, some.start * size
        frame = [count, depth, inputs, places[0] + first * depth, panel, out + first * inputs]
        scratch = np.empty(left + right, dtype=dtype)
        held.append(scratch)
        own = address(scratch)
        for k, (part, weight) in enumerate(zip(parts, weights, strict=True)):
            du, x, dweight, dbias = places[4 * k : 4 * k + 4]
            (width, wide), at = weight.shape, part.start * size
            frame += [rows, part.stop - part.start, width, wide]
            frame += [du + at, x, dweight + at * wide, dbias + at, own, own + left * size]
        frames.append(words(frame + [0] * (gradients.WORDS - len(frame))))
    call.run(run, frames)
    return dx


@once
def _compiled(dtype: Any) -> tuple[Run, Vector]:
    kind = vector(str(dtype), features())
    return load("\n".join([library.declarations(kind), gradients.gradients(kind)])), kind
