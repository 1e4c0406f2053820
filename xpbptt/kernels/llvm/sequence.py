"""The loop over time around a program of a cell, as one function for a whole sequence.

Units lie in panels of W units, the weights of all G gates of a panel side by side, so that the
product of a panel is all that the cell needs for these units.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

from xpbptt.kernels.llvm import projection
from xpbptt.kernels.llvm.clip import hand_back
from xpbptt.kernels.llvm.code import Code, Value
from xpbptt.kernels.llvm.function import Function, Names
from xpbptt.kernels.llvm.product import product
from xpbptt.kernels.llvm.starts import dropped, started
from xpbptt.kernels.llvm.sums import Body
from xpbptt.kernels.llvm.vectors import Vector
from xpbptt.kernels.program import Access
from xpbptt.kernels.programs import Task

WIDE = 4  # vectors of a tile, where the gates of a vector of units are fewer
PRODUCTS = {"u", "v"}

Element = Callable[..., str]


class Panel(NamedTuple):
    """How the weights of a panel lie: those of so many gates of so many vectors of units."""

    gates: int
    vectors: int

    @property
    def tile(self) -> int:
        """The vectors of a tile."""
        return self.gates * self.vectors


@cache
def panel(gates: int) -> Panel:
    """Return the panel of W_ih of a cell with so many gates."""
    return Panel(gates, max(1, WIDE // gates))


@cache
def beside(gates: int, recurrent: int) -> Panel:
    """Return the panel of W_hh, with the same units, of so many gates."""
    return panel(gates)._replace(gates=recurrent)


def pointers(task: Task) -> tuple[str, ...]:
    """Return the addresses that the products forward take."""
    of_state = ("weight_hh", "v") if task.recurrent else ()
    of_output = ("weight_hr",) if task.projection else ()
    return ("x", "weight_ih", *of_state[:1], *of_output, "u", *of_state[1:])


def products(vector: Vector, task: Task) -> str:
    """Return the functions that multiply rows by a panel of W_ih and of W_hh."""
    panels = {"product_ih": panel(task.gates).tile}
    if task.recurrent:
        panels["product_hh"] = beside(task.gates, task.recurrent).tile
    return "\n".join(product(name, vector, wide) for name, wide in panels.items())


def forward_names(task: Task) -> Names:
    """Return the frame of the loop forward."""
    numbers = (
        *("steps", "batch", "rows", "inputs", "hidden", "read", "chunk", "x_step", "x_row"),
        *(f"rows_{name}" for name in task.states),
    )
    own = tuple(name for name in task.names if name not in PRODUCTS)
    given = tuple(name for name in task.given if name not in own)
    copy = ("started",) if task.given else ()
    return Names(numbers, (*pointers(task), *own, *given, *copy))


def backward_names(task: Task) -> Names:
    """Return the frame of the loop back."""
    numbers = "steps", "batch", "rows", "hidden", "read", "padded", "first", "truncate", "limit"
    own = tuple(name for name in task.names if name not in task.carried)
    weight = ("weight_hh",) * bool(task.recurrent) + ("weight_hr",) * bool(task.projection)
    given = tuple(name for name in task.given_back if name not in own)
    return Names(numbers, (*weight, *padded(task), *own, *given))


def padded(task: Task) -> tuple[str, ...]:
    """Return the buffers whose rows the loop back holds padded to whole vectors."""
    return (*task.carried, *dict.fromkeys(task.returned))


def multiply(
    code: Code,
    name: str,
    rows: tuple[str, Value, Value],
    panel: tuple[str, Value],
    out: tuple[str, Value],
) -> None:
    """Write the call of a product: rows, their stride and count; panel, its depth; out, its gap."""
    (left, stride, count), (weight, depth), (place, gap) = rows, panel, out
    code.do(
        f"call void @{name}(ptr {left}, i64 {stride}, i64 {count}, ptr {weight}, i64 {depth}, "
        f"ptr {place}, i64 {gap})"
    )


class Panelled(Function):
    """A function whose units lie in panels: of W_ih and u, and of W_hh and v."""

    def __init__(self, vector: Vector, task: Task, names: Names, name: str = "run") -> None:
        super().__init__(vector, task, names, name)
        self.panel = panel(task.gates)
        self.panels = {"u": self.panel, "v": beside(task.gates, task.recurrent)}
        self.width = self.panel.vectors * vector.lanes
        hidden = self.code.total(self.frame["hidden"], self.width - 1)
        self.count = self.code.whole("udiv", hidden, self.width)

    def product_hh(self, before: str, p: Value) -> None:
        """Write the product of the state with panel p."""
        code, frame, number, depth = self.code, self.frame, self.vector.number, self.frame["read"]
        wide = self.panels["v"].tile * self.vector.lanes
        weight = code.at(number, frame["weight_hh"], code.times(code.times(p, depth), wide))
        rows = before, depth, frame["rows"]
        multiply(code, "product_hh", rows, (weight, depth), (self.state_part(p), wide))

    def state_part(self, p: Value) -> str:
        """Return the address of the product of panel p: all are kept if there are sums."""
        if not self.task.program.sums:
            return self.frame["v"]
        wide = self.panels["v"].tile * self.vector.lanes
        place = self.code.times(self.code.times(p, self.frame["rows"]), wide)
        return self.code.at(self.vector.number, self.frame["v"], place)

    def cells(self, product: Callable[[Value], None], element: Element) -> None:
        """Write the cell for all sequences, after the products that it takes.

        Parameters
        ----------
        product : callable
            Writes the products of a panel.
        element : callable
            ``element(access, p, b, j, k)``: the address of an access for the k-th vector of units
            of panel p, whose first unit is j.
        """
        code, rows = self.code, self.frame["rows"]

        def over(body: Body, p: Value, b: Value) -> None:
            for k in range(self.panel.vectors):
                j = code.total(code.times(p, self.width), k * self.vector.lanes)
                body(partial(element, p=p, b=b, j=j, k=k), j)

        if not self.task.program.sums:  # a panel after the other, whose product is in the cache
            (phase,) = self.sums.phases
            with code.loop(0, self.count) as p:
                product(p)
                with code.loop(0, rows) as b:
                    over(partial(self.units, phase), p, b)
            return
        with code.loop(0, self.count) as p:
            product(p)
        with code.loop(0, rows) as b:

            def over_all(body: Body) -> None:
                with code.loop(0, self.count) as p:
                    over(body, p, b)

            self.row(over_all, partial(element, p=0, b=b, j=0, k=0))

    def in_panel(self, access: Access, rows: str, b: Value, k: int) -> str:
        """Return the address of an element of a panel's product, in row b and unit vector k."""
        panel = self.panels[access.buffer.name]
        column = (access.block * panel.vectors + k) * self.vector.lanes
        row = self.code.times(b, panel.tile * self.vector.lanes)
        return self.code.at(self.vector.number, rows, self.code.total(row, column))


class Forward(Panelled):
    """The loop forward."""

    def __init__(self, vector: Vector, task: Task) -> None:
        super().__init__(vector, task, forward_names(task))

    def kept(self, name: str, step: Value) -> Value:
        """Return the row of a buffer that belongs to a step: of a state, the rows may alternate."""
        if name not in self.task.states:
            return step
        return self.code.whole("and", step, self.frame[f"rows_{name}"])

    def text(self) -> str:
        """Return the function."""
        code, frame, number = self.code, self.frame, self.vector.number
        columns = self.panel.tile * self.vector.lanes
        rows, inputs = frame["rows"], frame["inputs"]
        x_step, x_row = frame["x_step"], frame["x_row"]
        project = projection.ahead(self, WIDE)
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
            with code.loop(0, self.count) as p:
                weight = code.times(code.times(p, inputs), columns)
                out = code.at(number, frame["u"], code.times(p, block))
                with code.loop(0, calls) as s:
                    multiply(
                        code,
                        "product_ih",
                        (code.at(number, x, code.times(s, x_step)), stride, count),
                        (code.at(number, frame["weight_ih"], weight), inputs),
                        (code.at(number, out, code.times(code.times(s, rows), columns)), columns),
                    )
            with code.loop(0, steps) as s:
                t = code.total(start, s)
                row = self.kept(self.task.read, t)
                place = code.times(code.times(row, frame["batch"]), frame["read"])
                before = code.at(number, frame[self.task.read], place)
                if self.task.given:
                    before = started(self, t, before)
                first = code.times(code.times(s, rows), columns)

                def product(p: Value, before: str = before) -> None:
                    if self.task.recurrent:
                        self.product_hh(before, p)

                def element(
                    access: Access,
                    p: Value,
                    b: Value,
                    j: Value,
                    k: int,
                    at: tuple[Value, ...] = (t, block, first),
                ) -> str:
                    step, apart, row = at
                    if access.buffer.name not in PRODUCTS:
                        return self.element(access, step, b, j)
                    of_input = code.at(number, frame["u"], code.times(p, apart), row)
                    rows = of_input if access.buffer.name == "u" else self.state_part(p)
                    return self.in_panel(access, rows, b, k)

                self.cells(product, element)
                project(t)
        return code.text()


class Backward(Function):
    """The loop back."""

    def __init__(self, vector: Vector, task: Task) -> None:
        super().__init__(vector, task, backward_names(task))
        self.held = task.carried

    def text(self) -> str:
        """Return the function."""
        code, frame, number = self.code, self.frame, self.vector.number
        columns = WIDE * self.vector.lanes
        rows, hidden, padded = frame["rows"], frame["hidden"], frame["padded"]
        depth = code.times(hidden, self.task.recurrent)
        panels = code.whole("udiv", code.total(frame["read"], columns - 1), columns)
        project = projection.back(self, WIDE)
        with code.loop(0, frame["steps"]) as back:
            t = code.whole("sub", code.whole("sub", frame["steps"], 1), back)
            project(t)
            with code.loop(0, rows) as b:

                def over(body: Body, t: Value = t, b: Value = b) -> None:
                    with code.loop(0, hidden, self.vector.lanes) as j:
                        body(partial(self.element, t=t, b=b, j=j), j)

                self.row(over, partial(self.element, t=t, b=b, j=0))
            if self.task.recurrent:
                step = code.times(code.times(t, frame["batch"]), depth)
                dv = code.at(number, frame[self.task.record], step)
                with code.loop(0, panels) as p:
                    weight = code.times(code.times(p, depth), columns)
                    multiply(
                        code,
                        "product",
                        (dv, depth, rows),
                        (code.at(number, frame["weight_hh"], weight), depth),
                        (code.at(number, frame["dh"], code.times(p, columns)), padded),
                    )
            if self.task.drops:
                dropped(self)
            hand_back(self, t)
        return code.text()
