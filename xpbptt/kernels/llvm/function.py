"""A function around a program of a cell: its words, and the addresses of elements.

A function takes a frame: an array of 8-byte words, whole numbers and addresses in the order of the
function's names. A thread has a frame of its own, with the addresses of its rows of the batch.
"""

from copy import copy
from functools import partial
from typing import NamedTuple

from xpbptt.kernels.llvm.cell import row
from xpbptt.kernels.llvm.code import Code, Value
from xpbptt.kernels.llvm.starts import chosen, marked
from xpbptt.kernels.llvm.sums import Address, Body, Over, Sums
from xpbptt.kernels.llvm.vectors import Vector
from xpbptt.kernels.phases import Phase
from xpbptt.kernels.program import Access
from xpbptt.kernels.programs import Task


class Frame:
    """The words that a function is given, by their names.

    Parameters
    ----------
    code : Code
        The function, whose argument is the frame.
    numbers, addresses : tuple of str
        The names of its words.
    """

    def __init__(self, code: Code, numbers: tuple[str, ...], addresses: tuple[str, ...]) -> None:
        self._values = {
            name: code.load("i64" if k < len(numbers) else "ptr", code.at("i64", "%frame", k))
            for k, name in enumerate((*numbers, *addresses))
        }

    def __getitem__(self, name: str) -> str:
        """Return the value of a word."""
        return self._values[name]

    def at(self, name: str, value: str) -> "Frame":
        """Return the frame in which a name is that of another value."""
        other = copy(self)
        other.name(name, value)
        return other

    def name(self, name: str, value: str) -> None:
        """Give a name to a value that the function computes."""
        self._values = self._values | {name: value}


class Names(NamedTuple):
    """The words of the frame of a function: whole numbers, then addresses."""

    numbers: tuple[str, ...]
    addresses: tuple[str, ...]


class Function:
    """What the loops over time share: a function, its frame, and the addresses of elements.

    Attributes
    ----------
    held : tuple of str
        The buffers (B, H) whose rows are padded, to `padded` numbers.
    """

    held: tuple[str, ...] = ()

    def __init__(self, vector: Vector, task: Task, names: Names, name: str = "run") -> None:
        self.code = Code(name, ("ptr %frame",), "")
        self.vector = vector
        self.task = task
        self.frame = Frame(self.code, *names)
        self.program, self.starts = chosen(task.program)
        self.sums = Sums(self.code, vector, self.program, self.frame["hidden"])

    def element(self, access: Access, t: Value, b: Value, j: Value) -> str:
        """Return the address of an element of an array without gaps, or of a padded one."""
        code, buffer, hidden = self.code, access.buffer, self.frame["hidden"]
        row: Value
        if buffer.name in self.starts:
            first, state = (self.element(each, t, b, j) for each in self.starts[buffer.name])
            return code.let(f"select i1 {marked(self, t, b)}, ptr {first}, ptr {state}")
        if buffer.name in self.held:
            row = code.times(b, self.frame["padded"])
            return code.at(self.vector.number, self.frame[buffer.name], row, j)
        width = code.times(hidden, buffer.blocks) if "j" in buffer.axes else 1
        column = code.total(code.times(hidden, access.block) if access.block else 0, j)
        row = 0
        if "t" in buffer.axes:
            step = self.kept(buffer.name, code.total(t, 1) if access.later else t)
            row = code.times(step, self.frame["batch"])
        if "b" in buffer.axes:
            row = code.total(row, b)
        place = code.times(row, width) if row != 0 else 0
        kind = "i8" if buffer.logical else self.vector.number
        return code.at(kind, self.frame[buffer.name], place, column if "j" in buffer.axes else 0)

    def kept(self, name: str, step: Value) -> Value:
        """Return the row of a buffer that belongs to a step."""
        del name
        return step

    def row(self, over: Over, address: Address) -> None:
        """Write the program for one sequence.

        Parameters
        ----------
        over : callable
            ``over(body)`` writes ``body(address, j)`` for each vector of units.
        address : callable
            The address of what the units share.
        """
        for phase in self.sums.phases:
            self.sums.begin(phase)
            over(partial(self.units, phase))
            self.sums.end(phase)
        row(self.code, self.vector, self.program, address, self.sums.at_hand)

    def units(self, phase: Phase, address: Address, j: Value) -> None:
        """Write a phase for a vector of units, of which the last may not be there."""
        code, hidden = self.code, self.frame["hidden"]
        left = code.whole("sub", hidden, j)
        whole = code.test("sge", left, self.vector.lanes)
        with code.when(whole):
            self.sums.write(phase, address, j, None)
        some = code.let(f"xor i1 {whole}, true")
        with code.when(code.let(f"and i1 {some}, {code.test('sgt', left, 0)}")):
            self.sums.write(phase, address, j, self.vector.first(code, left))


class Step(Function):
    """One step, whose arrays have no gaps."""

    def __init__(self, vector: Vector, task: Task) -> None:
        super().__init__(vector, task, step_names(task))

    def text(self) -> str:
        """Return the function."""
        code, frame, lanes = self.code, self.frame, self.vector.lanes
        with code.loop(0, frame["batch"]) as b:

            def over(body: Body) -> None:
                with code.loop(0, frame["hidden"], lanes) as j:
                    body(lambda access: self.element(access, frame["step"], b, j), j)

            self.row(over, lambda access: self.element(access, frame["step"], b, 0))
        return code.text()


def step_names(task: Task) -> Names:
    """Return the frame of one step."""
    return Names(("step", "batch", "hidden"), task.program.names)
