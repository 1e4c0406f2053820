"""Sums over the hidden units of a sequence, and largest and smallest values, between the phases.

Each lane of a vector adds up its units; after the last vector the lanes are added in a fixed order,
so that the bits depend on the numbers of lanes and units only. What a later phase needs of an
earlier one lies in memory of the function for the units of one sequence.
"""

from collections.abc import Callable
from typing import Any

from xpbptt.kernels.llvm.cell import Names, cell
from xpbptt.kernels.llvm.code import Code, Value
from xpbptt.kernels.llvm.vectors import Vector
from xpbptt.kernels.phases import Phase, phases
from xpbptt.kernels.program import Access, Program

Address = Callable[[Access], str]
Body = Callable[[Address, Value], None]
Over = Callable[[Body], None]  # writes a body for each vector of units

NEUTRAL = {"sum": 0.0, "max": float("-inf"), "min": float("inf")}
COMBINED = {
    "sum": "fadd nsz contract {type} {0}, {1}",
    "max": "call {type} @maximum({type} {0}, {type} {1})",
    "min": "call {type} @minimum({type} {0}, {type} {1})",
}


class Sums:
    """The sums of a program in a function.

    Parameters
    ----------
    code : Code
        The function, at its start.
    vector : Vector
        The vector.
    program : Program
        The program.
    hidden : str or int
        The number of units.
    """

    def __init__(self, code: Code, vector: Vector, program: Program, hidden: Value) -> None:
        self._code, self._vector, self._nodes = code, vector, program.nodes
        self.phases = phases(program)
        self.at_hand: Names = {}
        self._memory: dict[int, str] = {}
        self._totals: dict[int, str] = {}
        for place in program.live():
            operation = program.nodes[place].operation
            if operation == "units":
                one = code.let(f"uitofp i64 {hidden} to {vector.number}")
                self.at_hand[place] = vector.spread(code, one)
            if operation in NEUTRAL:
                self._totals[place] = code.slot(vector.type)
        kept = [place for phase in self.phases for place in phase.kept]
        if kept:
            padded = code.total(hidden, vector.lanes)
        for place in kept:
            self._memory[place] = code.let(f"alloca {vector.number}, i64 {padded}, align 64")

    def write(self, phase: Phase, address: Address, j: Value, inside: str | None) -> None:
        """Write a phase for a vector of units."""
        code, vector = self._code, self._vector
        known = {place: vector.load(code, self._at(place, j)) for place in phase.known}
        names = cell(code, vector, self._nodes, phase, address, inside, {**self.at_hand, **known})
        for place in phase.kept:
            vector.store(code, names[place], self._at(place, j))
        for place in phase.sums:
            operation, (operand,) = self._nodes[place]
            value, total = names[operand], self._totals[place]
            if inside is not None:
                neutral = vector.constant(NEUTRAL[operation])
                value = code.let(
                    f"select {vector.bits} {inside}, {vector.type} {value}, {vector.type} {neutral}"
                )
            so_far = code.load(vector.type, total)
            code.store(vector.type, self._combined(operation, so_far, value), total)

    def begin(self, phase: Phase) -> None:
        """Write what comes before the units."""
        for place in phase.sums:
            neutral = self._vector.constant(NEUTRAL[self._nodes[place].operation])
            self._code.store(self._vector.type, neutral, self._totals[place])

    def end(self, phase: Phase) -> None:
        """Write what comes after them: the totals of all lanes, in each lane."""
        code, vector = self._code, self._vector
        for place in phase.sums:
            total, step = code.load(vector.type, self._totals[place]), vector.lanes // 2
            while step:
                turned = ", ".join(f"i32 {k ^ step}" for k in range(vector.lanes))
                other = code.let(
                    f"shufflevector {vector.type} {total}, {vector.type} poison, "
                    f"<{vector.lanes} x i32> <{turned}>"
                )
                total = self._combined(self._nodes[place].operation, total, other)
                step //= 2
            self.at_hand[place] = total

    def _combined(self, operation: str, one: Any, other: Any) -> str:
        text = COMBINED[operation].format(one, other, type=self._vector.type)
        return self._code.let(text)

    def _at(self, place: int, j: Value) -> str:
        return self._code.at(self._vector.number, self._memory[place], j)
