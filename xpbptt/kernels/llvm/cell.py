"""A program of a cell on vectors: expressions in LLVM's assembly language."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from xpbptt.kernels.llvm import math
from xpbptt.kernels.llvm.code import Code
from xpbptt.kernels.llvm.vectors import Vector, spread
from xpbptt.kernels.program import LOADS, Access, Buffer, Program, live
from xpbptt.kernels.symbols import Node

# A product and a sum may become one instruction, and the sign of zero is free; nothing else is
# relaxed, so that NaN and infinities pass.
ARITHMETIC = {
    "add": "fadd nsz contract {type} {0}, {1}",
    "subtract": "fsub nsz contract {type} {0}, {1}",
    "multiply": "fmul nsz contract {type} {0}, {1}",
    "divide": "fdiv nsz contract {type} {0}, {1}",
    "negative": "fneg nsz contract {type} {0}",
    "less": "fcmp olt {type} {0}, {1}",
    "less_equal": "fcmp ole {type} {0}, {1}",
    "greater": "fcmp ogt {type} {0}, {1}",
    "greater_equal": "fcmp oge {type} {0}, {1}",
    "equal": "fcmp oeq {type} {0}, {1}",
    "not_equal": "fcmp une {type} {0}, {1}",
    "and": "and {bits} {0}, {1}",
    "or": "or {bits} {0}, {1}",
    "not": "xor {bits} {0}, {true}",
    "where": "select {bits} {0}, {type} {1}, {type} {2}",
    "sqrt": "call {type} @llvm.sqrt.{suffix}({type} {0})",
    "abs": "call {type} @llvm.fabs.{suffix}({type} {0})",
    "maximum": "call {type} @maximum({type} {0}, {type} {1})",
    "minimum": "call {type} @minimum({type} {0}, {type} {1})",
    "tanh": "call {type} @tanh({type} {0})",
    "exp": "call {type} @exp({type} {0})",
    "sigmoid": "call {type} @sigmoid({type} {0})",
    "power_of_two": "call {type} @power_of_two({type} {0})",
}

LARGER = """
define internal {type} @{name}({type} %a, {type} %b) alwaysinline nounwind {{
  %more = fcmp {relation} {type} %a, %b
  %nan = fcmp uno {type} %a, %a
  %take = or {bits} %more, %nan
  %result = select {bits} %take, {type} %a, {type} %b
  ret {type} %result
}}
"""

# n is in the last bits of the sum with the magic number.
POWER = """
define internal {type} @power_of_two({type} %shifted) alwaysinline nounwind {{
  %whole = bitcast {type} %shifted to {whole}
  %up = shl {whole} %whole, {mantissa}
  %biased = add {whole} %up, {bias}
  %result = bitcast {whole} %biased to {type}
  ret {type} %result
}}
"""

DECLARED = """
declare {type} @llvm.sqrt.{suffix}({type})
declare {type} @llvm.fabs.{suffix}({type})
declare {type} @llvm.fmuladd.{suffix}({type}, {type}, {type})
declare {number} @llvm.vector.reduce.fadd.{suffix}({number}, {type})
declare {type} @llvm.masked.load.{suffix}.p0(ptr, i32, {bits}, {type})
declare void @llvm.masked.store.{suffix}.p0({type}, ptr, i32, {bits})
declare <{lanes} x i8> @llvm.masked.load.v{lanes}i8.p0(ptr, i32, {bits}, <{lanes} x i8>)
declare void @llvm.masked.store.v{lanes}i8.p0(<{lanes} x i8>, ptr, i32, {bits})
"""


def library(vector: Vector) -> str:
    """Return the functions that programs call."""
    form, whole = math.FORMATS[vector.number], f"i{8 * vector.size}"

    def splat(value: int) -> str:
        return f"<{', '.join([f'{whole} {value}'] * vector.lanes)}>"

    words = _words(vector)
    text = [declarations(vector)]
    text += [LARGER.format(name="maximum", relation="ogt", **words)]
    text += [LARGER.format(name="minimum", relation="olt", **words)]
    text += [
        POWER.format(
            whole=f"<{vector.lanes} x {whole}>",
            mantissa=splat(form.mantissa),
            bias=splat(form.bias << form.mantissa),
            **words,
        )
    ]
    text += [_function(name, vector) for name in ("tanh", "exp", "sigmoid")]
    return "\n".join(text)


def declarations(vector: Vector) -> str:
    """Return the declarations of LLVM's functions."""
    return DECLARED.format(**_words(vector))


def _function(name: str, vector: Vector) -> str:
    graph, result = math.traced(name, vector.number)
    code = Code(name, (f"{vector.type} %x",), result=vector.type)
    found = values(code, vector, graph.nodes, live(graph.nodes, [result.place]), lambda _: "%x")
    return code.text(found[result.place])


def values(
    code: Code,
    vector: Vector,
    nodes: Sequence[Node],
    places: Iterable[int],
    load: Callable[[Any], str],
) -> dict[int, str]:
    """Write expressions down; return the names of their values by their places."""
    words, names = _words(vector), dict[int, str]()
    for place in places:
        operation, operands = nodes[place]
        if operation == "constant":
            names[place] = vector.constant(operands[0])
        elif operation in LOADS:
            names[place] = load(operands[0])
        else:
            given = (names[each] for each in operands)
            names[place] = code.let(ARITHMETIC[operation].format(*given, **words))
    return names


def cell(
    code: Code,
    vector: Vector,
    program: Program,
    address: Callable[[Access], str],
    count: str | None = None,
) -> None:
    """Write a program for one sequence and a vector of units.

    Parameters
    ----------
    code : Code
        Where it is written.
    vector : Vector
        The vector.
    program : Program
        The program.
    address : callable
        The address of the first element of an access.
    count : str, optional
        How many units there are. Default: a whole vector.
    """
    inside = None if count is None else vector.first(code, count)

    def load(access: Access) -> str:
        kind = _kind(access.buffer, vector)
        if "j" not in access.buffer.axes:
            value = code.load("i8", address(access), 1)
            return spread(code, code.let(f"icmp ne i8 {value}, 0"), "i1", vector.lanes)
        value = _load(code, vector, kind, address(access), inside)
        if access.buffer.logical:
            return code.let(f"icmp ne {kind} {value}, zeroinitializer")
        return value

    found = values(code, vector, program.nodes, program.live(), load)
    for access, place in program.stores:
        value, kind = found[place], _kind(access.buffer, vector)
        if access.buffer.logical:
            value = code.let(f"zext {vector.bits} {value} to {kind}")
        _store(code, vector, kind, value, address(access), inside)


def _load(code: Code, vector: Vector, kind: str, address: str, inside: str | None) -> str:
    align = _align(kind, vector)
    if inside is None:
        return code.load(kind, address, align)
    return code.let(
        f"call {kind} @llvm.masked.load.{_suffix(kind, vector)}.p0(ptr {address}, i32 {align}, "
        f"{vector.bits} {inside}, {kind} zeroinitializer)"
    )


def _store(
    code: Code, vector: Vector, kind: str, value: str, address: str, inside: str | None
) -> None:
    align = _align(kind, vector)
    if inside is None:
        code.store(kind, value, address, align)
    else:
        code.do(
            f"call void @llvm.masked.store.{_suffix(kind, vector)}.p0({kind} {value}, "
            f"ptr {address}, i32 {align}, {vector.bits} {inside})"
        )


def _kind(buffer: Buffer, vector: Vector) -> str:
    return f"<{vector.lanes} x i8>" if buffer.logical else vector.type


def _align(kind: str, vector: Vector) -> int:
    return vector.size if kind == vector.type else 1


def _suffix(kind: str, vector: Vector) -> str:
    return vector.suffix if kind == vector.type else f"v{vector.lanes}i8"


def _words(vector: Vector) -> Mapping[str, Any]:
    true = f"<{', '.join(['i1 true'] * vector.lanes)}>"
    return {
        "number": vector.number,
        "type": vector.type,
        "bits": vector.bits,
        "suffix": vector.suffix,
        "lanes": vector.lanes,
        "true": true,
    }
