"""Between two steps back: the gradient of the state is clipped, or cut off."""

from typing import TYPE_CHECKING, Any

from xpbptt.kernels.llvm.code import Value


def hand_back(loop: Any, t: Value) -> None:
    """Write what happens to the gradient that step `t` hands to the step before."""
    code, frame, vector = loop.code, loop.frame, loop.vector
    number, size = vector.number, vector.size
    limit = code.let(f"bitcast i64 {frame['limit']} to double")
    finite = code.let(f"fcmp one double {limit}, {_literal(float('inf'))}")
    with code.when(finite), code.loop(0, frame["rows"]) as b:
        if "mask" in loop.task.program.names:
            place = code.total(code.times(t, frame["batch"]), b)
            flag = code.load("i8", code.at("i8", frame["mask"], place), 1)
            with code.when(code.let(f"icmp ne i8 {flag}, 0")):
                _clip(loop, b, limit)
        else:
            _clip(loop, b, limit)
    step = code.total(frame["first"], t)
    wanted = code.test("sgt", frame["truncate"], 0)
    inner = code.let(f"and i1 {wanted}, {code.test('sgt', step, 0)}")
    with code.when(inner):
        rest = code.whole("urem", step, frame["truncate"])
        with code.when(code.test("eq", rest, 0)):
            numbers = code.times(frame["rows"], frame["padded"])
            for name in loop.task.carried:
                with code.loop(0, numbers, vector.lanes) as k:
                    vector.store(code, "zeroinitializer", code.at(number, frame[name], k))


def _literal(value: float) -> str:
    from xpbptt.kernels.llvm.vectors import Vector

    return Vector("double", 8, 1, 1).literal(value)


def _clip(loop: Any, b: Value, limit: str) -> None:
    """Scale the gradient of one sequence down to a norm of at most `limit`.

    As in `_arrays.norms`, relative to the largest element, so that no square overflows.
    """
    code, frame, vector = loop.code, loop.frame, loop.vector
    number, kind = vector.number, vector.type
    padded = frame["padded"]
    row = code.times(b, padded)
    parts = {name: code.at(number, frame[name], row) for name in loop.task.carried}
    dh, direct, *rest = loop.task.carried
    if True:
        with code.loop(0, padded, vector.lanes) as j:
            here = code.at(number, parts[dh], j)
            there = code.at(number, parts[direct], j)
            whole = code.let(
                f"fadd {kind} {vector.load(code, here)}, {vector.load(code, there)}"
            )
            vector.store(code, whole, here)
            vector.store(code, "zeroinitializer", there)
    kept = [parts[dh], *(parts[name] for name in rest)]
    top = code.slot(kind)
    code.store(kind, "zeroinitializer", top)
    for part in kept:
        with code.loop(0, padded, vector.lanes) as j:
            value = vector.load(code, code.at(number, part, j))
            size = code.let(f"call {kind} @llvm.fabs.{vector.suffix}({kind} {value})")
            larger = code.let(f"fcmp ogt {kind} {size}, {code.load(kind, top)}")
            code.store(
                kind,
                code.let(f"select {vector.bits} {larger}, {kind} {size}, {kind} {code.load(kind, top)}"),
                top,
            )
    largest = code.slot(number)
    code.store(number, vector.literal(0.0), largest)
    found = code.load(kind, top)
    for k in range(vector.lanes):
        each = code.let(f"extractelement {kind} {found}, i32 {k}")
        now = code.load(number, largest)
        more = code.let(f"fcmp ogt {number} {each}, {now}")
        code.store(number, code.let(f"select i1 {more}, {number} {each}, {number} {now}"), largest)
    unit = code.load(number, largest)
    with code.when(code.let(f"fcmp ogt {number} {unit}, {vector.literal(0.0)}")):
        units = vector.spread(code, unit)
        sums = code.slot(kind)
        code.store(kind, "zeroinitializer", sums)
        for part in kept:
            with code.loop(0, padded, vector.lanes) as j:
                value = vector.load(code, code.at(number, part, j))
                share = code.let(f"fdiv {kind} {value}, {units}")
                code.store(
                    kind,
                    code.let(
                        f"call {kind} @llvm.fmuladd.{vector.suffix}({kind} {share}, {kind} {share}, "
                        f"{kind} {code.load(kind, sums)})"
                    ),
                    sums,
                )
        total = code.slot(number)
        code.store(number, vector.literal(0.0), total)
        squares = code.load(kind, sums)
        for k in range(vector.lanes):
            each = code.let(f"extractelement {kind} {squares}, i32 {k}")
            code.store(number, code.let(f"fadd {number} {code.load(number, total)}, {each}"), total)
        square = f"<1 x {number}>"
        one = code.let(f"insertelement {square} poison, {number} {code.load(number, total)}, i32 0")
        root = code.let(
            f"extractelement {square} "
            + code.let(f"call {square} @llvm.sqrt.v1f{8 * vector.size}({square} {one})")
            + ", i32 0"
        )
        most = limit if number == "double" else code.let(f"fptrunc double {limit} to float")
        norm = code.let(f"fmul {number} {unit}, {root}")
        with code.when(code.let(f"fcmp ogt {number} {norm}, {most}")):
            factor = vector.spread(code, code.let(f"fdiv {number} {most}, {root}"))
            for part in kept:
                with code.loop(0, padded, vector.lanes) as j:
                    place = code.at(number, part, j)
                    share = code.let(f"fdiv {kind} {vector.load(code, place)}, {units}")
                    vector.store(code, code.let(f"fmul {kind} {share}, {factor}"), place)
