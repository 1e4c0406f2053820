"""Products of matrices with packed weights, a tile of the result in registers at a time.

The weights lie in panels (K, C): K rows of C columns. A tile of R rows takes, for each k, some of
the C weights and R numbers of the left matrix, and adds the products to sums that stay in
registers. The order of the sum does not depend on R, so neither do its bits.
"""

from collections.abc import Callable
from typing import NamedTuple

from xpbptt.kernels.llvm.code import Code, Value
from xpbptt.kernels.llvm.vectors import Vector

MOST = 10  # rows; LLVM moves the sums of more rows of narrow tiles to memory


class Tile(NamedTuple):
    """The shape of a tile: rows, and columns in vectors."""

    rows: int
    vectors: int


def tile(vector: Vector, panel: int) -> Tile:
    """Return the tile with the most multiplications a load that fits the registers.

    Its columns are a part of those of a panel of so many vectors.
    """
    parts = [vectors for vectors in range(1, panel + 1) if panel % vectors == 0]
    return max((_tallest(vector, vectors) for vectors in parts), key=_worth)


def _tallest(vector: Vector, vectors: int) -> Tile:
    # LLVM moves sums to memory where they take more than three quarters of the registers.
    sums = min(3 * vector.registers // 4, vector.registers - vectors - 1)
    return Tile(min(max(1, sums // vectors), MOST), vectors)


def _worth(shape: Tile) -> float:
    return shape.rows * shape.vectors / (shape.rows + shape.vectors)


def product(name: str, vector: Vector, panel: int, *, ragged: bool = False) -> str:
    """Return a function that multiplies rows by a panel of so many vectors.

    ``name(ptr rows, i64 stride, i64 count, ptr panel, i64 depth, ptr out, i64 gap)``: row k of the
    left matrix begins k·stride numbers after `rows`, and row k of the result k·gap after `out`. A
    ragged one also takes ``i64 columns``: how many columns of the panel are written.
    """
    arguments = (
        *("ptr %rows", "i64 %stride", "i64 %count", "ptr %panel", "i64 %depth"),
        *("ptr %out", "i64 %gap", *(["i64 %columns"] if ragged else [])),
    )
    code, shape = Code(name, arguments), tile(vector, panel)
    number, width = vector.number, panel * vector.lanes
    left = code.whole("urem", "%count", shape.rows)
    full = code.whole("sub", "%count", left)
    with code.loop(0, width, shape.vectors * vector.lanes) as column:
        weights, out = code.at(number, "%panel", column), code.at(number, "%out", column)
        rest = code.whole("sub", "%columns", column) if ragged else None
        with code.loop(0, full, shape.rows) as first:
            _rows(code, vector, shape, first, weights, width, out, rest)
        for rows in range(1, shape.rows):
            with code.when(code.test("eq", left, rows)):
                _rows(code, vector, shape._replace(rows=rows), full, weights, width, out, rest)
    return code.text()


def _rows(
    code: Code,
    vector: Vector,
    shape: Tile,
    first: Value,
    weights: str,
    width: int,
    out: str,
    columns: Value | None,
) -> None:
    """Write the product of the rows from `first` on, of so many columns; None for all."""
    number = vector.number
    start = code.at(number, "%rows", code.times(first, "%stride"))
    rows = [code.at(number, start, code.times(r, "%stride") if r else 0) for r in range(shape.rows)]
    sums = zeros(code, vector, shape)
    add(
        code,
        vector,
        sums,
        "%depth",
        lambda k: [code.at(number, row, k) for row in rows],
        lambda k, v: vector.load(code, code.at(number, weights, code.times(k, width), v)),
    )
    for r, row in enumerate(sums):
        target = code.at(number, out, code.times(code.total(first, r), "%gap"))
        for v, each in enumerate(row):
            value, place = code.load(vector.type, each), code.at(number, target, v * vector.lanes)
            if columns is None:
                vector.store(code, value, place)
            else:
                vector.store_up_to(code, value, place, code.whole("sub", columns, v * vector.lanes))


def zeros(code: Code, vector: Vector, shape: Tile) -> list[list[str]]:
    """Return local variables for the sums of a tile, row by row."""
    sums = [[code.slot(vector.type) for _ in range(shape.vectors)] for _ in range(shape.rows)]
    for each in (each for row in sums for each in row):
        code.store(vector.type, "zeroinitializer", each)
    return sums


def add(
    code: Code,
    vector: Vector,
    sums: list[list[str]],
    depth: Value,
    left: Callable[[Value], list[str]],
    right: Callable[[Value, int], str],
) -> None:
    """Add the products of all k below `depth` to the sums of a tile.

    ``left(k)`` are the addresses of a number for each row; ``right(k, column)`` is the vector of
    the right matrix from a column on.
    """
    kind = vector.type
    with code.loop(0, depth) as k:
        w = [right(k, v * vector.lanes) for v in range(len(sums[0]))]
        for place, row in zip(left(k), sums, strict=True):
            x = vector.spread(code, code.load(vector.number, place))
            for weight, each in zip(w, row, strict=True):
                more = code.let(
                    f"call {kind} @llvm.fmuladd.{vector.suffix}({kind} {x}, {kind} {weight}, "
                    f"{kind} {code.load(kind, each)})"
                )
                code.store(kind, more, each)
