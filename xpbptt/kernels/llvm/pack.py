"""Weights in panels, as the products of a loop over time read them."""

from xpbptt.kernels.llvm.code import Code
from xpbptt.kernels.llvm.sequence import WIDE, Panel
from xpbptt.kernels.llvm.vectors import Vector


def forward(vector: Vector, shape: Panel) -> str:
    """Return a function that packs W (G·H, K) for rows (…, K) to be multiplied by Wᵀ.

    ``run(ptr weight, i64 depth, i64 hidden, ptr out)``. Squares of a vector by a vector are turned
    in registers: rows are read as they lie, and many of them are on their way at once.
    """
    code, number, lanes = _code(), vector.number, vector.lanes
    width, columns = shape.vectors * lanes, shape.tile * lanes
    panels = code.whole("udiv", code.total("%hidden", width - 1), width)
    squares = code.whole("sub", "%depth", code.whole("urem", "%depth", lanes))
    with code.loop(0, panels) as p:
        out = code.at(number, "%out", code.times(code.times(p, "%depth"), columns))
        with code.loop(0, shape.gates) as g, code.loop(0, width, lanes) as unit:
            rows, inside = [], []
            for lane in range(lanes):
                j = code.total(code.times(p, width), code.total(unit, lane))
                there = code.test("slt", j, "%hidden")
                row = code.total(code.times(g, "%hidden"), j)
                safe = code.let(f"select i1 {there}, i64 {row}, i64 0")
                rows.append(code.at(number, "%weight", code.times(safe, "%depth")))
                inside.append(there)
            here = code.at(number, out, code.total(code.times(g, width), unit))
            with code.loop(0, squares, lanes) as start:
                square = [
                    _or_zero(code, vector.type, vector.load(code, code.at(number, row, start)), one)
                    for row, one in zip(rows, inside, strict=True)
                ]
                for row, column in enumerate(turned(code, vector, square)):
                    place = code.times(code.total(start, row), columns)
                    vector.store(code, column, code.at(number, here, place))
            with code.loop(squares, "%depth") as k:
                for lane, (row, one) in enumerate(zip(rows, inside, strict=True)):
                    value = _or_zero(code, number, code.load(number, code.at(number, row, k)), one)
                    place = code.total(code.times(k, columns), lane)
                    code.store(number, value, code.at(number, here, place))
    return code.text()


def _or_zero(code: Code, kind: str, value: str, there: str) -> str:
    """Return a value, or zero where nothing is there."""
    return code.let(f"select i1 {there}, {kind} {value}, {kind} zeroinitializer")


def turned(code: Code, vector: Vector, square: list[str]) -> list[str]:
    """Return the columns of a square, given by its rows.

    Each round puts the rows of the first and of the second half together, element by element in
    turns; after as many rounds as the logarithm of their number the square is turned.
    """
    lanes, half = vector.lanes, vector.lanes // 2
    kind, pairs = vector.type, [k // 2 + lanes * (k % 2) for k in range(2 * lanes)]
    masks = [
        f"<{lanes} x i32> <{', '.join(f'i32 {k}' for k in each)}>"
        for each in (pairs[:lanes], pairs[lanes:])
    ]
    for _ in range(lanes.bit_length() - 1):
        square = [
            code.let(f"shufflevector {kind} {one}, {kind} {other}, {mask}")
            for one, other in zip(square[:half], square[half:], strict=True)
            for mask in masks
        ]
    return square


def backward(vector: Vector) -> str:
    """Return a function that packs W (K, H) for rows (…, K) to be multiplied by W.

    ``run(ptr weight, i64 depth, i64 hidden, ptr out)``
    """
    code, number, columns = _code(), vector.number, WIDE * vector.lanes
    panels = code.whole("udiv", code.total("%hidden", columns - 1), columns)
    with code.loop(0, panels) as p:
        out = code.at(number, "%out", code.times(code.times(p, "%depth"), columns))
        first = code.times(p, columns)
        inside = [
            vector.first(code, code.whole("sub", "%hidden", code.total(first, v * vector.lanes)))
            for v in range(WIDE)
        ]
        with code.loop(0, "%depth") as k:
            source = code.at(number, "%weight", code.times(k, "%hidden"), first)
            row = code.at(number, out, code.times(k, columns))
            for v, some in enumerate(inside):
                value = vector.load_some(code, code.at(number, source, v * vector.lanes), some)
                vector.store(code, value, code.at(number, row, v * vector.lanes))
    return code.text()


def _code() -> Code:
    return Code("run", ("ptr %weight", "i64 %depth", "i64 %hidden", "ptr %out"), "")
