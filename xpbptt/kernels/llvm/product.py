"""Products of matrices with packed weights, a tile of the result in registers at a time.

The weights lie in panels (K, C): K rows of C columns, as many columns as a tile has. A tile of R
rows takes, for each k, C weights and R numbers of the left matrix, and adds R·C products to sums
that stay in registers. The order of the sum does not depend on R, so neither do its bits.
"""

from typing import NamedTuple

from xpbptt.kernels.llvm.code import Code, Value
from xpbptt.kernels.llvm.vectors import Vector

MOST = 10  # rows; LLVM moves the sums of more rows of narrow tiles to memory


class Tile(NamedTuple):
    """The shape of a tile: rows, and columns in vectors."""

    rows: int
    vectors: int


def tile(vector: Vector, vectors: int) -> Tile:
    """Return the tallest tile of so many columns whose sums and weights fit the registers."""
    # Every second row's number of the left matrix is in a register while it is multiplied.
    rows = 2 * (vector.registers - vectors) // (2 * vectors + 1)
    return Tile(min(max(1, rows), MOST), vectors)


def product(name: str, vector: Vector, shape: Tile, *, ragged: bool = False) -> str:
    """Return a function that multiplies rows by a panel.

    ``name(ptr rows, i64 stride, i64 count, ptr panel, i64 depth, ptr out, i64 gap)``: row k of the
    left matrix begins k·stride numbers after `rows`, and row k of the result k·gap after `out`. A
    ragged one also takes ``i64 columns``: how many columns of the panel are written.
    """
    arguments = (
        *("ptr %rows", "i64 %stride", "i64 %count", "ptr %panel", "i64 %depth"),
        *("ptr %out", "i64 %gap", *(["i64 %columns"] if ragged else [])),
    )
    code = Code(name, arguments)
    columns = shape.vectors * vector.lanes
    left = code.whole("urem", "%count", shape.rows)
    full = code.whole("sub", "%count", left)
    with code.loop(0, full, shape.rows) as first:
        _tile(code, vector, shape, first, columns, ragged=ragged)
    for rows in range(1, shape.rows):
        with code.when(code.test("eq", left, rows)):
            _tile(code, vector, Tile(rows, shape.vectors), full, columns, ragged=ragged)
    return code.text()


def _tile(
    code: Code, vector: Vector, shape: Tile, first: Value, columns: int, *, ragged: bool
) -> None:
    """Write the product of the rows from `first` on."""
    number, kind = vector.number, vector.type
    sums = [[code.slot(kind) for _ in range(shape.vectors)] for _ in range(shape.rows)]
    for row in sums:
        for each in row:
            code.store(kind, "zeroinitializer", each)
    start = code.at(number, "%rows", code.times(first, "%stride"))
    rows = [code.at(number, start, code.times(r, "%stride") if r else 0) for r in range(shape.rows)]
    with code.loop(0, "%depth") as k:
        panel = code.at(number, "%panel", code.times(k, columns))
        w = [
            vector.load(code, code.at(number, panel, v * vector.lanes))
            for v in range(shape.vectors)
        ]
        for left, total in zip(rows, sums, strict=True):
            x = vector.spread(code, code.load(number, code.at(number, left, k)))
            for weight, each in zip(w, total, strict=True):
                more = code.let(
                    f"call {kind} @llvm.fmuladd.{vector.suffix}({kind} {x}, {kind} {weight}, "
                    f"{kind} {code.load(kind, each)})"
                )
                code.store(kind, more, each)
    for r, row in enumerate(sums):
        out = code.at(number, "%out", code.times(code.total(first, r), "%gap"))
        for v, each in enumerate(row):
            value, place = code.load(kind, each), code.at(number, out, v * vector.lanes)
            if ragged:
                rest = code.whole("sub", "%columns", v * vector.lanes)
                vector.store_some(code, value, place, vector.first(code, rest))
            else:
                vector.store(code, value, place)
