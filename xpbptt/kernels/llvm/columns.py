"""Sums of columns: the gradients of a cell's own parameters, of all sequences."""

import math
from typing import Any

from xpbptt._arrays.once import once
from xpbptt._arrays.types import AnyArray
from xpbptt.kernels.llvm.build import load
from xpbptt.kernels.llvm.call import addresses, words
from xpbptt.kernels.llvm.code import Code
from xpbptt.kernels.llvm.function import Frame, Names
from xpbptt.kernels.llvm.machine import features
from xpbptt.kernels.llvm.product import Tile, zeros
from xpbptt.kernels.llvm.sequence import WIDE
from xpbptt.kernels.llvm.vectors import Vector, vector
from xpbptt.kernels.target import Run

WORDS = Names(("rows", "count"), ("records", "total"))


def add(records: AnyArray, total: AnyArray) -> None:
    """Add the sums over steps and sequences of records (T, B, …) to a total (…)."""
    steps, batch, *shape = records.shape
    frame = [steps * batch, math.prod(shape), *addresses([records, total])]
    _compiled(total.dtype)(words(frame))


@once
def _compiled(dtype: Any) -> Run:
    return load(columns(vector(str(dtype), features())))


def columns(vector: Vector) -> str:
    """Return a function that adds up the columns of R rows, so many numbers each."""
    code, number, lanes = Code("run", ("ptr %frame",), ""), vector.number, vector.lanes
    frame = Frame(code, *WORDS)
    rows, count = frame["rows"], frame["count"]
    with code.loop(0, count, WIDE * lanes) as first:
        (sums,) = zeros(code, vector, Tile(1, WIDE))
        left = code.whole("sub", count, first)
        inside = [vector.first(code, code.whole("sub", left, k * lanes)) for k in range(WIDE)]
        with code.loop(0, rows) as r:
            row = code.at(number, frame["records"], code.times(r, count), first)
            for k, (each, some) in enumerate(zip(sums, inside, strict=True)):
                value = vector.load_some(code, code.at(number, row, k * lanes), some)
                vector.increase(code, each, value)
        for k, (each, some) in enumerate(zip(sums, inside, strict=True)):
            place = code.at(number, frame["total"], first, k * lanes)
            vector.increase(code, each, vector.load_some(code, place, some))
            vector.store_some(code, code.load(vector.type, each), place, some)
    return code.text()
