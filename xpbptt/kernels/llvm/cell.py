"""A program of a cell on vectors: expressions in LLVM's assembly language."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from xpbptt.kernels.llvm import math
from xpbptt.kernels.llvm.code import Code
from xpbptt.kernels.llvm.vectors import Vector, spread
from xpbptt.kernels.phases import Phase, rows
from xpbptt.kernels.program import LOADS, Access, Buffer, Program
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
    "floor": "call {type} @llvm.floor.{suffix}({type} {0})",
    "pow": "call {type} @llvm.pow.{suffix}({type} {0}, {type} {1})",  # a number after the other
    "maximum": "call {type} @maximum({type} {0}, {type} {1})",
    "minimum": "call {type} @minimum({type} {0}, {type} {1})",
    **{name: f"call {{type}} @vector_{name}({{type}} {{0}})" for name in math.FUNCTIONS},
    "power_of_two": "call {type} @power_of_two({type} {0})",
    "exponent": "call {type} @exponent({type} {0})",
    "mantissa": "call {type} @mantissa({type} {0})",
    "first_bit": "call {bits} @first_bit({type} {0})",
    "second_bit": "call {bits} @second_bit({type} {0})",
    "far_sin": "call {type} @far_sin({type} {0}, {type} {1}, {bits} {2})",
    "far_cos": "call {type} @far_cos({type} {0}, {type} {1}, {bits} {2})",
}


Names = dict[int, str]  # of values, by the places of their expressions


def values(
    code: Code,
    vector: Vector,
    nodes: Sequence[Node],
    places: Iterable[int],
    load: Callable[[Any], str],
    at_hand: Names | None = None,
) -> Names:
    """Write expressions down; return the names of their values, and of those at hand."""
    known, names = words(vector), dict(at_hand or {})
    for place in places:
        if place in names:
            continue
        operation, operands = nodes[place]
        if operation == "constant":
            names[place] = vector.constant(operands[0])
        elif operation in {"narrow", "wide"}:  # an axis of length 1 less or more
            names[place] = names[operands[0]]
        elif operation in LOADS:
            names[place] = load(operands[0])
        else:
            given = (names[each] for each in operands)
            names[place] = code.let(ARITHMETIC[operation].format(*given, **known))
    return names


def cell(
    code: Code,
    vector: Vector,
    nodes: Sequence[Node],
    phase: Phase,
    address: Callable[[Access], str],
    inside: str | None = None,
    at_hand: Names | None = None,
) -> Names:
    """Write a phase of a program for one sequence and a vector of units.

    Parameters
    ----------
    code : Code
        Where it is written.
    vector : Vector
        The vector.
    nodes : sequence of Node
        The expressions of the program.
    phase : Phase
        The phase.
    address : callable
        The address of the first element of an access.
    inside : str, optional
        Which units of the vector there are. Default: all.
    at_hand : dict, optional
        The names of values that are known.

    Returns
    -------
    names : dict
        The names of all values.
    """

    def load(access: Access) -> str:
        kind = _kind(access.buffer, vector)
        if "j" not in access.buffer.axes:
            return _one(code, vector, access, address(access))
        value = _load(code, vector, kind, address(access), inside)
        if access.buffer.logical:
            return code.let(f"icmp ne {kind} {value}, zeroinitializer")
        return value

    found = values(code, vector, nodes, phase.places, load, at_hand)
    for access, place in phase.stores:
        value, kind = found[place], _kind(access.buffer, vector)
        if access.buffer.logical:
            value = code.let(f"zext {vector.bits} {value} to {kind}")
        _store(code, vector, kind, value, address(access), inside)
    return found


def row(
    code: Code,
    vector: Vector,
    program: Program,
    address: Callable[[Access], str],
    at_hand: Names,
) -> None:
    """Write what is stored once for a sequence."""
    places, stores = rows(program)
    load = lambda access: _one(code, vector, access, address(access))  # noqa: E731
    found = values(code, vector, program.nodes, places, load, at_hand)
    for access, place in stores:
        first = code.let(f"extractelement {vector.type} {found[place]}, i32 0")
        code.store(vector.number, first, address(access), vector.size)


def _one(code: Code, vector: Vector, access: Access, address: str) -> str:
    """Read what all units of a sequence share."""
    if access.buffer.logical:
        value = code.load("i8", address, 1)
        return spread(code, code.let(f"icmp ne i8 {value}, 0"), "i1", vector.lanes)
    return vector.spread(code, code.load(vector.number, address, vector.size))


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


def words(vector: Vector) -> Mapping[str, Any]:
    """Return the types of a vector, as the texts of instructions name them."""
    true = f"<{', '.join(['i1 true'] * vector.lanes)}>"
    return {
        "number": vector.number,
        "type": vector.type,
        "bits": vector.bits,
        "suffix": vector.suffix,
        "lanes": vector.lanes,
        "true": true,
    }
