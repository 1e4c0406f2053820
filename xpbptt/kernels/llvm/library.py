"""The functions that programs on vectors call, in LLVM's assembly language."""

from collections.abc import Iterable
from typing import Any

from xpbptt.kernels.llvm import math
from xpbptt.kernels.llvm.cell import values, words
from xpbptt.kernels.llvm.code import Code
from xpbptt.kernels.llvm.vectors import Vector
from xpbptt.kernels.program import Program, live

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
declare {type} @llvm.floor.{suffix}({type})
declare {type} @llvm.pow.{suffix}({type}, {type})
declare {type} @llvm.sin.{suffix}({type})
declare {type} @llvm.cos.{suffix}({type})
declare i1 @llvm.vector.reduce.or.v{lanes}i1({bits})
declare {type} @llvm.fmuladd.{suffix}({type}, {type}, {type})
declare {number} @llvm.vector.reduce.fadd.{suffix}({number}, {type})
declare {type} @llvm.masked.load.{suffix}.p0(ptr, i32, {bits}, {type})
declare void @llvm.masked.store.{suffix}.p0({type}, ptr, i32, {bits})
declare <{lanes} x i8> @llvm.masked.load.v{lanes}i8.p0(ptr, i32, {bits}, <{lanes} x i8>)
declare void @llvm.masked.store.v{lanes}i8.p0(<{lanes} x i8>, ptr, i32, {bits})
"""

# The exponent n and the mantissa m of a positive normal number m 2ⁿ, √½ ≤ m < √2.
LOGARITHM = """
define internal {whole} @halves({whole} %bits) alwaysinline nounwind {{
  %less = sub {whole} %bits, {root}
  %n = ashr {whole} %less, {mantissa}
  ret {whole} %n
}}
define internal {type} @exponent({type} %x) alwaysinline nounwind {{
  %bits = bitcast {type} %x to {whole}
  %n = call {whole} @halves({whole} %bits)
  %result = sitofp {whole} %n to {type}
  ret {type} %result
}}
define internal {type} @mantissa({type} %x) alwaysinline nounwind {{
  %bits = bitcast {type} %x to {whole}
  %n = call {whole} @halves({whole} %bits)
  %up = shl {whole} %n, {mantissa}
  %rest = sub {whole} %bits, %up
  %result = bitcast {whole} %rest to {type}
  ret {type} %result
}}
"""

# Whether a bit of n is set, see `POWER`.
BIT = """
define internal {bits} @{name}({type} %shifted) alwaysinline nounwind {{
  %whole = bitcast {type} %shifted to {whole}
  %one = and {whole} %whole, {bit}
  %result = icmp ne {whole} %one, zeroinitializer
  ret {bits} %result
}}
"""

# A function of the platform's library, number by number, where a result is not near enough.
FAR = """
define internal {type} @far_{name}({type} %x, {type} %near, {bits} %far) nounwind {{
entry:
  %any = call i1 @llvm.vector.reduce.or.v{lanes}i1({bits} %far)
  br i1 %any, label %slow, label %end
slow:
  %some = select {bits} %far, {type} %x, {type} zeroinitializer
  %exact = call {type} @llvm.{name}.{suffix}({type} %some)
  %both = select {bits} %far, {type} %exact, {type} %near
  br label %end
end:
  %result = phi {type} [ %near, %entry ], [ %both, %slow ]
  ret {type} %result
}}
"""


def library(vector: Vector, program: Program | None = None) -> str:
    """Return the functions that a program calls; those of all programs without one."""
    used = {node.operation for node in program.nodes} if program else set(math.FUNCTIONS)
    form, whole = math.FORMATS[vector.number], f"i{8 * vector.size}"

    def splat(value: int) -> str:
        return f"<{', '.join([f'{whole} {value}'] * vector.lanes)}>"

    known: dict[str, Any] = {
        **words(vector),
        "whole": f"<{vector.lanes} x {whole}>",
        "mantissa": splat(form.mantissa),
    }
    text = [declarations(vector)]
    text += [LARGER.format(name="maximum", relation="ogt", **known)]
    text += [LARGER.format(name="minimum", relation="olt", **known)]
    text += [POWER.format(bias=splat(form.bias << form.mantissa), **known)]
    text += [LOGARITHM.format(root=splat(form.root), **known)]
    text += [
        BIT.format(name=name, bit=splat(bit), **known)
        for name, bit in (("first_bit", 1), ("second_bit", 2))
    ]
    text += [FAR.format(name=name, **known) for name in ("sin", "cos") if name in used]
    text += [_function(name, vector) for name in _ordered(used)]
    return "\n".join(text)


def declarations(vector: Vector) -> str:
    """Return the declarations of LLVM's functions."""
    return DECLARED.format(**words(vector))


def _ordered(used: Iterable[str]) -> list[str]:
    return [name for name in math.FUNCTIONS if name in used]


def _function(name: str, vector: Vector) -> str:
    graph, result = math.traced(name, vector.number)
    code = Code(f"vector_{name}", (f"{vector.type} %x",), result=vector.type)
    found = values(code, vector, graph.nodes, live(graph.nodes, [result.place]), lambda _: "%x")
    return code.text(found[result.place])
