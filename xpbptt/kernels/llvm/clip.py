"""Between two steps back: the gradient of the state is clipped, reset, or cut off."""

from collections.abc import Iterator, Sequence
from typing import Any

from xpbptt.kernels.llvm.code import Code, Value
from xpbptt.kernels.llvm.starts import returned
from xpbptt.kernels.llvm.vectors import Vector

INFINITE = "0x7FF0000000000000"  # as a double


def hand_back(loop: Any, t: Value) -> None:
    """Write what happens to the gradient that step `t` hands to the step before.

    Parameters
    ----------
    loop : Backward
        The loop back.
    t : str or int
        The step.
    """
    code, frame, vector = loop.code, loop.frame, loop.vector
    limit = code.let(f"bitcast i64 {frame['limit']} to double")
    with (
        code.when(code.let(f"fcmp one double {limit}, {INFINITE}")),
        code.loop(0, frame["rows"]) as b,
    ):
        if "mask" in loop.task.program.names:
            place = code.total(code.times(t, frame["batch"]), b)
            flag = code.load("i8", code.at("i8", frame["mask"], place), 1)
            with code.when(code.let(f"icmp ne i8 {flag}, 0")):
                _clip(loop, b, limit)
        else:
            _clip(loop, b, limit)

    if loop.task.returned:
        returned(loop, t)
    step = code.total(frame["first"], t)
    wanted, later = code.test("sgt", frame["truncate"], 0), code.test("sgt", step, 0)
    with code.when(code.let(f"and i1 {wanted}, {later}")):
        rest = code.whole("urem", step, frame["truncate"])
        with code.when(code.test("eq", rest, 0)):
            parts = [frame[name] for name in loop.task.carried]
            for place in _vectors(code, vector, parts, code.times(frame["rows"], frame["padded"])):
                vector.store(code, "zeroinitializer", place)


def _clip(loop: Any, b: Value, limit: str) -> None:
    """Scale the gradient of one sequence down to a norm of at most `limit`.

    As in `_arrays.norms`, relative to the largest element, so that no square overflows.
    """
    code, vector, padded = loop.code, loop.vector, loop.frame["padded"]
    number, kind = vector.number, vector.type
    row = code.times(b, padded)
    parts = [code.at(number, loop.frame[name], row) for name in loop.task.carried]
    if loop.task.recurrent:  # the product takes in the direct part
        dh, direct = parts[0], parts.pop(1)
        with code.loop(0, padded, vector.lanes) as j:
            here, there = code.at(number, dh, j), code.at(number, direct, j)
            whole = code.let(f"fadd {kind} {vector.load(code, here)}, {vector.load(code, there)}")
            vector.store(code, whole, here)
            vector.store(code, "zeroinitializer", there)
    unit = _largest(code, vector, parts, padded)
    with code.when(code.let(f"fcmp ogt {number} {unit}, {vector.literal(0)}")):
        units = vector.spread(code, unit)
        root = _root(code, vector, _squares(code, vector, parts, padded, units))
        most = limit if number == "double" else code.let(f"fptrunc double {limit} to float")
        norm = code.let(f"fmul {number} {unit}, {root}")
        with code.when(code.let(f"fcmp ogt {number} {norm}, {most}")):
            factor = vector.spread(code, code.let(f"fdiv {number} {most}, {root}"))
            for place in _vectors(code, vector, parts, padded):
                share = code.let(f"fdiv {kind} {vector.load(code, place)}, {units}")
                vector.store(code, code.let(f"fmul {kind} {share}, {factor}"), place)


def _vectors(code: Code, vector: Vector, parts: Sequence[str], count: Value) -> Iterator[str]:
    """Write a loop over each of some arrays; yield the address of a vector in it."""
    for part in parts:
        with code.loop(0, count, vector.lanes) as j:
            yield code.at(vector.number, part, j)


def _largest(code: Code, vector: Vector, parts: Sequence[str], count: Value) -> str:
    """Return the largest magnitude; NaN is none."""
    number, kind = vector.number, vector.type
    top = code.slot(kind)
    code.store(kind, "zeroinitializer", top)
    for place in _vectors(code, vector, parts, count):
        value, before = vector.load(code, place), code.load(kind, top)
        size = code.let(f"call {kind} @llvm.fabs.{vector.suffix}({kind} {value})")
        more = code.let(f"fcmp ogt {kind} {size}, {before}")
        code.store(
            kind, code.let(f"select {vector.bits} {more}, {kind} {size}, {kind} {before}"), top
        )
    first, *others = _elements(code, vector, code.load(kind, top))
    for each in others:
        more = code.let(f"fcmp ogt {number} {each}, {first}")
        first = code.let(f"select i1 {more}, {number} {each}, {number} {first}")
    return first


def _squares(code: Code, vector: Vector, parts: Sequence[str], count: Value, units: str) -> str:
    """Return the sum of the squares of all numbers, each divided by the unit."""
    number, kind = vector.number, vector.type
    sums = code.slot(kind)
    code.store(kind, "zeroinitializer", sums)
    for place in _vectors(code, vector, parts, count):
        share = code.let(f"fdiv {kind} {vector.load(code, place)}, {units}")
        before = code.load(kind, sums)
        more = code.let(
            f"call {kind} @llvm.fmuladd.{vector.suffix}({kind} {share}, {kind} {share}, "
            f"{kind} {before})"
        )
        code.store(kind, more, sums)
    total, *others = _elements(code, vector, code.load(kind, sums))
    for each in others:
        total = code.let(f"fadd {number} {total}, {each}")
    return total


def _root(code: Code, vector: Vector, square: str) -> str:
    """Return the square root of a number."""
    all_, kind = vector.spread(code, square), vector.type
    roots = code.let(f"call {kind} @llvm.sqrt.{vector.suffix}({kind} {all_})")
    return code.let(f"extractelement {kind} {roots}, i32 0")


def _elements(code: Code, vector: Vector, value: str) -> list[str]:
    """Return the numbers of a vector."""
    return [code.let(f"extractelement {vector.type} {value}, i32 {k}") for k in range(vector.lanes)]
