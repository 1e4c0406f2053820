"""Products over all steps: the gradients of the weights and of the input.

``du (R, N)`` are the records of R steps and sequences. The gradient of a weight is duᵀ·x, a sum
over the rows: some rows of both are packed, so that a tile reads them without gaps. The gradient of
the input is du·W, a product with packed weights.
"""

from functools import lru_cache
from typing import NamedTuple

from xpbptt.kernels.llvm import product
from xpbptt.kernels.llvm.code import Code, Value
from xpbptt.kernels.llvm.function import Frame, Names
from xpbptt.kernels.llvm.product import Tile
from xpbptt.kernels.llvm.sequence import WIDE
from xpbptt.kernels.llvm.vectors import Vector

ROWS = 256  # of du and x that are packed at once, so that they stay in the cache
TILES = 8  # of columns of du that are packed at once

INPUT = Names(("count", "depth", "inputs"), ("records", "panels", "out"))
WEIGHT = Names(
    ("rows", "count", "stride", "inputs"), ("records", "x", "out", "bias", "du", "panels")
)


PARTS = {"input": [INPUT], "weight": [WEIGHT, WEIGHT, WEIGHT]}
WORDS = sum(len(each) for parts in PARTS.values() for names in parts for each in names)


def gradients(vector: Vector) -> str:
    """Return a function that computes a thread's part of all gradients.

    Its words are those of `input_`, and those of `weight` for W_ih, W_hh and W_hr: zeros, where a
    cell has none.
    """
    code, start = Code("run", ("ptr %frame",), ""), 0
    for name, parts in PARTS.items():
        for numbers, places in parts:
            code.do(f"call void @{name}(ptr {code.at('i64', '%frame', start)})")
            start += len(numbers) + len(places)
    multiply = product.product("product", vector, WIDE, ragged=True)
    return "\n".join([multiply, input_(vector), _outer(vector), weight(vector), code.text()])


class Packed(NamedTuple):
    """Columns of a matrix beside each other, so many to a tile.

    The last row is written in whole vectors, as all are: each over what is too much of the one
    before.
    """

    vector: Vector
    columns: int

    def size(self, rows: int, count: int) -> int:
        """Return how many numbers the memory has for so many rows and columns."""
        return -(-count // self.columns) * (min(rows, ROWS) * self.columns + self.vector.lanes)

    def tile(self, code: Code, rows: Value) -> Value:
        """Return how many numbers are between two tiles."""
        return code.total(code.times(rows, self.columns), self.vector.lanes)

    def write(
        self,
        code: Code,
        source: str,
        stride: Value,
        rows: Value,
        count: Value,
        out: str,
        total: str = "",
    ) -> None:
        """Write the copy of some columns of rows that are so many numbers apart.

        The sums of the columns are added to those at the address `total`, if it is given.
        """
        vector, number, size = self.vector, self.vector.number, self.tile(code, rows)
        with code.loop(0, count, self.columns) as n:
            tile = code.at(number, out, code.times(code.whole("udiv", n, self.columns), size))
            inside = {}
            for k in range(0, self.columns, vector.lanes):
                rest = code.whole("sub", count, code.total(n, k))
                inside[k] = vector.first(code, code.least(self.columns - k, rest))
            (sums,) = product.zeros(code, vector, Tile(1, len(inside)))
            with code.loop(0, rows) as r:
                row = code.at(number, source, code.times(r, stride), n)
                place = code.at(number, tile, code.times(r, self.columns))
                for (k, some), each in zip(inside.items(), sums, strict=True):
                    value = vector.load_some(code, code.at(number, row, k), some)
                    vector.store(code, value, code.at(number, place, k))
                    if total:
                        vector.increase(code, each, value)
            for (k, some), each in zip(inside.items(), sums if total else (), strict=False):
                place = code.at(number, total, code.total(n, k))
                before = vector.load_some(code, place, some)
                more = code.let(f"fadd {vector.type} {before}, {code.load(vector.type, each)}")
                vector.store_some(code, more, place, some)


def packed(vector: Vector) -> tuple[Packed, Packed]:
    """Return how du and x are packed."""
    shape = product.tile(vector, WIDE)
    return Packed(vector, shape.rows), Packed(vector, shape.vectors * vector.lanes)


@lru_cache
def rooms(vector: Vector, rows: int, inputs: int) -> tuple[int, int]:
    """Return how many numbers the memory has that `weight` needs for du and for x."""
    du, x = packed(vector)
    return du.size(rows, TILES * du.columns), x.size(rows, inputs)


def weight(vector: Vector) -> str:
    """Return a function that adds duᵀ·x and the sums of du, of some columns of du, to the results.

    Its words: `rows` R, `count` columns of du, `stride` N, `inputs` I; the first of the columns,
    x (R, I), the results (count, I) and (count,), and memory for packed columns of du and x.
    """
    code, number, (du, x) = Code("weight", ("ptr %frame",)), vector.number, packed(vector)
    frame = Frame(code, *WEIGHT)
    count, stride, inputs = frame["count"], frame["stride"], frame["inputs"]
    with code.loop(0, frame["rows"], ROWS) as start:
        rows = code.least(ROWS, code.whole("sub", frame["rows"], start))
        source = code.at(number, frame["x"], code.times(start, inputs))
        x.write(code, source, inputs, rows, inputs, frame["panels"])
        with code.loop(0, count, du.columns * TILES) as first:
            some = code.least(du.columns * TILES, code.whole("sub", count, first))
            source = code.at(number, frame["records"], code.times(start, stride), first)
            bias = code.at(number, frame["bias"], first)
            du.write(code, source, stride, rows, some, frame["du"], bias)
            with code.loop(0, inputs, x.columns) as column, code.loop(0, some, du.columns) as n:
                p, k = code.whole("udiv", column, x.columns), code.whole("udiv", n, du.columns)
                left = code.at(number, frame["du"], code.times(k, du.tile(code, rows)))
                right = code.at(number, frame["panels"], code.times(p, x.tile(code, rows)))
                place = code.total(code.times(code.total(first, n), inputs), column)
                code.do(
                    f"call void @outer(ptr {left}, ptr {right}, i64 {rows}, "
                    f"ptr {code.at(number, frame['out'], place)}, i64 {inputs}, "
                    f"i64 {code.whole('sub', some, n)}, i64 {code.whole('sub', inputs, column)})"
                )
    return code.text()


def _outer(vector: Vector) -> str:
    """Return a function that adds a tile of du times a tile of x to the result."""
    arguments = (
        *("ptr %left", "ptr %right", "i64 %rows", "ptr %out", "i64 %gap"),
        *("i64 %tall", "i64 %wide"),
    )
    code, number, lanes = Code("outer", arguments), vector.number, vector.lanes
    shape = product.tile(vector, WIDE)
    columns = shape.vectors * lanes
    sums = product.zeros(code, vector, shape)
    rest = [code.whole("sub", "%wide", v * lanes) for v in range(shape.vectors)]
    outs = [code.at(number, "%out", code.times(n, "%gap") if n else 0) for n in range(shape.rows)]
    places = [[code.at(number, out, v * lanes) for v in range(shape.vectors)] for out in outs]
    for n, row in enumerate(sums):
        with code.when(code.test("sgt", "%tall", n)):
            for place, each, some in zip(places[n], row, rest, strict=True):
                before = vector.load_some(code, place, vector.first(code, some))
                code.store(vector.type, before, each)

    def left(r: Value) -> list[str]:
        row = code.at(number, "%left", code.times(r, shape.rows))
        return [code.at(number, row, n) for n in range(shape.rows)]

    def right(r: Value, column: int) -> str:
        return vector.load(code, code.at(number, "%right", code.times(r, columns), column))

    product.add(code, vector, sums, "%rows", left, right)
    for n, row in enumerate(sums):
        with code.when(code.test("sgt", "%tall", n)):
            for place, each, some in zip(places[n], row, rest, strict=True):
                vector.store_up_to(code, code.load(vector.type, each), place, some)
    return code.text()


def input_(vector: Vector) -> str:
    """Return a function that writes du·W for some rows of du.

    Its words: `count` rows, `depth` N, `inputs` I; the first row, the weights in panels, the result
    (count, I).
    """
    code, number = Code("input", ("ptr %frame",)), vector.number
    frame = Frame(code, *INPUT)
    columns = WIDE * vector.lanes
    depth, inputs = frame["depth"], frame["inputs"]
    panels = code.whole("udiv", code.total(inputs, columns - 1), columns)
    with code.loop(0, panels) as p:
        weight = code.times(code.times(p, depth), columns)
        first = code.times(p, columns)
        code.do(
            f"call void @product(ptr {frame['records']}, i64 {depth}, i64 {frame['count']}, "
            f"ptr {code.at(number, frame['panels'], weight)}, i64 {depth}, "
            f"ptr {code.at(number, frame['out'], first)}, i64 {inputs}, "
            f"i64 {code.whole('sub', inputs, first)})"
        )
    return code.text()
