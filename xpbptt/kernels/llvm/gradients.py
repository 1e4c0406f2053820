"""Products over all steps: the gradients of the weights and of the input.

``du (R, N)`` are the records of R steps and sequences. The gradient of a weight is duᵀ·x, a sum
over the rows: blocks of columns of du are packed, and x in panels (R, C) of C columns, so that a
tile reads both without gaps. The gradient of the input is du·W, a product with packed weights.
"""

from xpbptt.kernels.llvm.code import Code, Value
from xpbptt.kernels.llvm.function import Frame, Names
from xpbptt.kernels.llvm.product import Tile
from xpbptt.kernels.llvm.vectors import Vector

TILES = 8  # of columns of du that are packed at once

WEIGHT = Names(("rows", "count", "stride", "inputs"), ("records", "panels", "out", "block"))
INPUT = Names(("count", "depth", "inputs"), ("records", "panels", "out"))


def tile(vector: Vector) -> Tile:
    """Return a tile of sums whose columns of x and one number of du fit beside it."""
    return Tile(6, vector.registers // 8)


def weight(vector: Vector, shape: Tile) -> str:
    """Return a function that writes duᵀ·x for some columns of du.

    Its words: `rows` R, `count` columns of du, `stride` N, `inputs` I; the first of the columns,
    x in panels, the result (count, I), and memory for a block.
    """
    code, number = Code("run", ("ptr %frame",), ""), vector.number
    frame = Frame(code, *WEIGHT)
    columns, tall = shape.vectors * vector.lanes, shape.rows
    rows, count, inputs = frame["rows"], frame["count"], frame["inputs"]
    panels = code.whole("udiv", code.total(inputs, columns - 1), columns)
    size = code.times(rows, tall)
    with code.loop(0, count, tall * TILES) as first:
        some = code.least(tall * TILES, code.whole("sub", count, first))
        tiles = code.whole("udiv", code.total(some, tall - 1), tall)
        _pack(code, vector, tall, frame, first, some)
        with code.loop(0, panels) as p:
            x = code.at(number, frame["panels"], code.times(code.times(p, rows), columns))
            wide = code.whole("sub", inputs, code.times(p, columns))
            with code.loop(0, tiles) as k:
                at = code.times(k, tall)
                row = code.times(code.total(first, at), inputs)
                code.do(
                    f"call void @outer(ptr {code.at(number, frame['block'], code.times(k, size))}, "
                    f"ptr {x}, i64 {rows}, "
                    f"ptr {code.at(number, frame['out'], row, code.times(p, columns))}, "
                    f"i64 {inputs}, i64 {code.whole('sub', some, at)}, i64 {wide})"
                )
    return f"{_outer(vector, shape)}\n{code.text()}"


def _pack(code: Code, vector: Vector, tall: int, frame: Frame, first: Value, count: Value) -> None:
    """Write the copy of a block of columns, a tile's beside each other for each row."""
    number, rows, lanes = vector.number, frame["rows"], vector.lanes
    with code.loop(0, rows) as r:
        source = code.at(number, frame["records"], code.times(r, frame["stride"]), first)
        row = code.at(number, frame["block"], code.times(r, tall))
        with code.loop(0, count, tall) as n:
            some = code.least(tall, code.whole("sub", count, n))
            place = code.at(number, row, code.times(n, rows))
            for k in range(0, tall, lanes):  # a tile may be higher than a vector
                inside = vector.first(code, code.whole("sub", some, k))
                value = vector.load_some(code, code.at(number, source, code.total(n, k)), inside)
                block = vector.first(code, min(lanes, tall - k))
                vector.store_some(code, value, code.at(number, place, k), block)


def _outer(vector: Vector, shape: Tile) -> str:
    """Return a function that multiplies a packed tile of du by a panel of x."""
    arguments = (
        *("ptr %left", "ptr %right", "i64 %rows", "ptr %out", "i64 %gap"),
        *("i64 %tall", "i64 %wide"),
    )
    code, number, kind, lanes = Code("outer", arguments), vector.number, vector.type, vector.lanes
    sums = [[code.slot(kind) for _ in range(shape.vectors)] for _ in range(shape.rows)]
    for each in (each for row in sums for each in row):
        code.store(kind, "zeroinitializer", each)
    inside = [
        vector.first(code, code.whole("sub", "%wide", v * lanes)) for v in range(shape.vectors)
    ]
    with code.loop(0, "%rows") as r:
        left = code.at(number, "%left", code.times(r, shape.rows))
        right = code.at(number, "%right", code.times(r, shape.vectors * lanes))
        x = [vector.load(code, code.at(number, right, v * lanes)) for v in range(shape.vectors)]
        for n, row in enumerate(sums):
            du = vector.spread(code, code.load(number, code.at(number, left, n)))
            for value, each in zip(x, row, strict=True):
                more = code.let(
                    f"call {kind} @llvm.fmuladd.{vector.suffix}({kind} {du}, {kind} {value}, "
                    f"{kind} {code.load(kind, each)})"
                )
                code.store(kind, more, each)
    for n, row in enumerate(sums):
        with code.when(code.test("sgt", "%tall", n)):
            out = code.at(number, "%out", code.times(n, "%gap"))
            for v, each in enumerate(row):
                place = code.at(number, out, v * lanes)
                vector.store_some(code, code.load(kind, each), place, inside[v])
    return code.text()


def input_(vector: Vector, shape: Tile) -> str:
    """Return a function that writes du·W for some rows of du.

    Its words: `count` rows, `depth` N, `inputs` I; the first row, the weights in panels, the result
    (count, I).
    """
    code, number = Code("run", ("ptr %frame",), ""), vector.number
    frame = Frame(code, *INPUT)
    columns = shape.vectors * vector.lanes
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
