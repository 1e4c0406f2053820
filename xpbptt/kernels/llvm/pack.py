"""Weights in panels, as the products of a loop over time read them."""

from xpbptt.kernels.llvm.code import Code
from xpbptt.kernels.llvm.sequence import WIDE, Panel
from xpbptt.kernels.llvm.vectors import Vector

BLOCK = 16  # columns of a weight that are read at once: a cache line


def forward(vector: Vector, shape: Panel) -> str:
    """Return a function that packs W (G·H, K) for rows (…, K) to be multiplied by Wᵀ.

    ``run(ptr weight, i64 depth, i64 hidden, ptr out)``
    """
    code, number, lanes = _code(), vector.number, vector.lanes
    width = shape.vectors * lanes
    panels = code.whole("udiv", code.total("%hidden", width - 1), width)
    with code.loop(0, panels) as p, code.loop(0, "%depth", BLOCK) as start:
        stop = code.least("%depth", code.total(start, BLOCK))
        out = code.at(number, "%out", code.times(code.times(p, "%depth"), shape.tile * lanes))
        with code.loop(0, shape.gates) as g, code.loop(0, width) as unit:
            j = code.total(code.times(p, width), unit)
            column = code.total(code.times(g, width), unit)
            there = code.test("slt", j, "%hidden")
            row = code.total(code.times(g, "%hidden"), j)
            safe = code.let(f"select i1 {there}, i64 {row}, i64 0")
            source = code.at(number, "%weight", code.times(safe, "%depth"))
            with code.loop(start, stop) as k:
                value = code.load(number, code.at(number, source, k))
                kept = code.let(
                    f"select i1 {there}, {number} {value}, {number} {vector.literal(0.0)}"
                )
                place = code.total(code.times(k, shape.tile * lanes), column)
                code.store(number, kept, code.at(number, out, place))
    return code.text()


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
