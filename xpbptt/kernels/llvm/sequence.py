"""The loop over time around a program of a cell, as one function for a whole sequence.

Units lie in panels of W units, the weights of all G gates of a panel side by side, so that the
product of a panel is all that the cell needs for these units.
"""

from collections.abc import Callable
from typing import NamedTuple

from xpbptt.kernels.llvm.clip import hand_back
from xpbptt.kernels.llvm.code import Value
from xpbptt.kernels.llvm.function import Function, Names
from xpbptt.kernels.llvm.starts import dropped, started
from xpbptt.kernels.llvm.vectors import Vector
from xpbptt.kernels.program import Access
from xpbptt.kernels.programs import Task

WIDE = 4  # vectors of a tile, where the gates of a vector of units are fewer
POINTERS = "x", "weight_ih", "weight_hh", "u", "v"


class Panel(NamedTuple):
    """How the weights of a panel lie: those of so many gates of so many vectors of units."""

    gates: int
    vectors: int

    @property
    def tile(self) -> int:
        """The vectors of a tile."""
        return self.gates * self.vectors


def panel(gates: int) -> Panel:
    """Return the panel of a cell with so many gates."""
    return Panel(gates, max(1, WIDE // gates))


def forward_names(task: Task) -> Names:
    """Return the frame of the loop forward."""
    numbers = (
        *("steps", "batch", "rows", "inputs", "hidden", "chunk", "x_step", "x_row"),
        *(f"rows_{name}" for name in task.states),
    )
    own = tuple(name for name in task.program.names if name not in {"u", "v"})
    if not task.given:
        return Names(numbers, (*POINTERS, *own))
    given = (name for name in task.given if name not in own)
    return Names(numbers, (*POINTERS, *own, *given, "started"))


def backward_names(task: Task) -> Names:
    """Return the frame of the loop back."""
    numbers = "steps", "batch", "rows", "hidden", "padded", "first", "truncate", "limit"
    own = tuple(name for name in task.program.names if name not in task.carried)
    given = (name for name in ("reset", "factors") if name in task.given and name not in own)
    return Names(numbers, ("weight_hh", *task.carried, *task.returned, *own, *given))


class Forward(Function):
    """The loop forward."""

    def __init__(self, vector: Vector, task: Task) -> None:
        super().__init__(vector, task, forward_names(task))
        self.panel = panel(task.gates)

    def kept(self, name: str, step: Value) -> Value:
        """Return the row of a buffer that belongs to a step: of a state, the rows may alternate."""
        if name not in self.task.states:
            return step
        return self.code.whole("and", step, self.frame[f"rows_{name}"])

    def text(self) -> str:
        """Return the function."""
        code, frame, number = self.code, self.frame, self.vector.number
        lanes = self.vector.lanes
        columns = self.panel.tile * lanes
        width = self.panel.vectors * lanes
        rows, hidden, inputs = frame["rows"], frame["hidden"], frame["inputs"]
        x_step, x_row = frame["x_step"], frame["x_row"]
        panels = code.whole("udiv", code.total(hidden, width - 1), width)
        # Rows of several steps are multiplied at once where one stride leads from each to the next.
        single = code.test("eq", rows, 1)
        dense = code.test("eq", x_step, code.times(rows, x_row))
        joined = code.let(f"or i1 {single}, {dense}")
        stride = code.let(f"select i1 {single}, i64 {x_step}, i64 {x_row}")
        with code.loop(0, frame["steps"], frame["chunk"]) as start:
            steps = code.least(frame["chunk"], code.whole("sub", frame["steps"], start))
            several = code.times(steps, rows)
            calls = code.let(f"select i1 {joined}, i64 1, i64 {steps}")
            count = code.let(f"select i1 {joined}, i64 {several}, i64 {rows}")
            x = code.at(number, frame["x"], code.times(start, x_step))
            block = code.times(several, columns)
            with code.loop(0, panels) as p:
                weight = code.times(code.times(p, inputs), columns)
                out = code.at(number, frame["u"], code.times(p, block))
                with code.loop(0, calls) as s:
                    self.multiply(
                        code.at(number, x, code.times(s, x_step)),
                        stride,
                        count,
                        code.at(number, frame["weight_ih"], weight),
                        inputs,
                        code.at(number, out, code.times(code.times(s, rows), columns)),
                        columns,
                    )
            with code.loop(0, steps) as s:
                t = code.total(start, s)
                row = self.kept(self.task.hidden, t)
                place = code.times(code.times(row, frame["batch"]), hidden)
                before = code.at(number, frame[self.task.hidden], place)
                if self.task.given:
                    before = started(self, t, before)
                with code.loop(0, panels) as p:
                    weight = code.times(code.times(p, hidden), columns)
                    panel = code.at(number, frame["weight_hh"], weight)
                    self.multiply(before, hidden, rows, panel, hidden, frame["v"], columns)
                    first = code.times(code.times(s, rows), columns)
                    u = code.at(number, frame["u"], code.times(p, block), first)
                    with code.loop(0, rows) as b:
                        for k in range(self.panel.vectors):
                            j = code.total(code.times(p, width), k * lanes)
                            self.units(self._address(u, t, b, j, k), j)
        return code.text()

    def multiply(
        self,
        rows: str,
        stride: Value,
        count: Value,
        panel: str,
        depth: Value,
        out: str,
        gap: Value,
    ) -> None:
        """Write the call of the product of a panel."""
        self.code.do(
            f"call void @product(ptr {rows}, i64 {stride}, i64 {count}, ptr {panel}, i64 {depth}, "
            f"ptr {out}, i64 {gap})"
        )

    def _address(self, u: str, t: Value, b: Value, j: Value, k: int) -> Callable[[Access], str]:
        def address(access: Access) -> str:
            products = {"u": u, "v": self.frame["v"]}
            if access.buffer.name not in products:
                return self.element(access, t, b, j)
            column = (access.block * self.panel.vectors + k) * self.vector.lanes
            row = self.code.times(b, self.panel.tile * self.vector.lanes)
            return self.code.at(
                self.vector.number, products[access.buffer.name], self.code.total(row, column)
            )

        return address


class Backward(Function):
    """The loop back."""

    def __init__(self, vector: Vector, task: Task) -> None:
        super().__init__(vector, task, backward_names(task))

    def text(self) -> str:
        """Return the function."""
        code, frame, number = self.code, self.frame, self.vector.number
        columns = WIDE * self.vector.lanes
        rows, hidden, padded = frame["rows"], frame["hidden"], frame["padded"]
        depth = code.times(hidden, self.task.gates)
        panels = code.whole("udiv", padded, columns)
        with code.loop(0, frame["steps"]) as back:
            t = code.whole("sub", code.whole("sub", frame["steps"], 1), back)
            with code.loop(0, rows) as b, code.loop(0, hidden, self.vector.lanes) as j:
                self.units(self._address(t, b, j), j)
            step = code.times(code.times(t, frame["batch"]), depth)
            dv = code.at(number, frame[self.task.record], step)
            with code.loop(0, panels) as p:
                weight = code.times(code.times(p, depth), columns)
                panel = code.at(number, frame["weight_hh"], weight)
                out = code.at(number, frame["dh"], code.times(p, columns))
                code.do(
                    f"call void @product(ptr {dv}, i64 {depth}, i64 {rows}, ptr {panel}, "
                    f"i64 {depth}, ptr {out}, i64 {padded})"
                )
            if self.task.drops:
                dropped(self)
            hand_back(self, t)
        return code.text()

    def _address(self, t: Value, b: Value, j: Value) -> Callable[[Access], str]:
        def address(access: Access) -> str:
            if access.buffer.name not in self.task.carried:
                return self.element(access, t, b, j)
            row = self.code.times(b, self.frame["padded"])
            return self.code.at(self.vector.number, self.frame[access.buffer.name], row, j)

        return address
