"""The projection of a cell in a loop over time: its product, and its program around it."""

from collections.abc import Callable
from functools import partial
from typing import Any

from xpbptt.kernels.llvm.code import Code, Value
from xpbptt.kernels.llvm.function import Function
from xpbptt.kernels.llvm.product import product
from xpbptt.kernels.llvm.starts import chosen
from xpbptt.kernels.llvm.sums import Body, Sums
from xpbptt.kernels.llvm.vectors import Vector
from xpbptt.kernels.places import DM, DPROJECTED, PROJECTED, M

NAME = "projection"


def products(vector: Vector, panel: int) -> str:
    """Return the function that multiplies rows by a panel of so many vectors of W_hr."""
    return product(NAME, vector, panel, ragged=True)


def ahead(loop: Any, panel: int) -> Callable[[Value], None]:
    """Return what writes the projection after the cell's step `t`; nothing where there is none."""
    return Projection(loop, panel).forward if loop.task.projection else _nothing


def back(loop: Any, panel: int) -> Callable[[Value], None]:
    """Return what writes the projection before the cell's step `t` back."""
    return Projection(loop, panel).backward if loop.task.projection else _nothing


def _nothing(t: Value) -> None:
    del t


class Projection(Function):
    """The projection, written into the function of a loop.

    Parameters
    ----------
    loop : Forward or Backward
        The loop.
    panel : int
        The vectors of a panel of W_hr.
    """

    def __init__(self, loop: Any, panel: int) -> None:
        self.loop, self.held = loop, loop.held
        self.code: Code = loop.code
        self.vector, self.task = loop.vector, loop.task.projection
        self.panel, self.hidden = panel, loop.frame["hidden"]
        self.frame = loop.frame.at("hidden", loop.frame["read"])  # its units are the output's
        self.program, self.starts = chosen(self.task.program)
        self.sums = Sums(self.code, self.vector, self.program, self.frame["hidden"])

    def kept(self, name: str, step: Value) -> Value:
        """Return the row of a buffer that belongs to a step."""
        row: Value = self.loop.kept(name, step)
        return row

    def forward(self, t: Value) -> None:
        """Write the product, and the output that is taken from it."""
        columns = self.frame["hidden"]
        out = self.frame[PROJECTED.name]
        multiply(self, self.panel, self.frame[M.name], self.hidden, out, columns)
        self._step(t)

    def backward(self, t: Value) -> None:
        """Write the gradient that the product takes, and the product."""
        code, frame, columns = self.code, self.frame, self.frame["hidden"]
        self._step(t)
        row = code.times(code.times(t, frame["batch"]), columns)
        rows = code.at(self.vector.number, frame[DPROJECTED.name], row)
        multiply(self, self.panel, rows, columns, frame[DM.name], self.hidden)

    def _step(self, t: Value) -> None:
        code = self.code
        with code.loop(0, self.frame["rows"]) as b:

            def over(body: Body) -> None:
                with code.loop(0, self.frame["hidden"], self.vector.lanes) as j:
                    body(partial(self.element, t=t, b=b, j=j), j)

            self.row(over, partial(self.element, t=t, b=b, j=0))


def multiply(of: Function, panel: int, rows: str, depth: Value, out: str, columns: Value) -> None:
    """Write the product of rows of so many numbers with W_hr, or its transpose, without gaps."""
    code, number = of.code, of.vector.number
    with code.loop(0, columns, panel * of.vector.lanes) as first:
        weight = code.at(number, of.frame["weight_hr"], code.times(first, depth))
        code.do(
            f"call void @{NAME}(ptr {rows}, i64 {depth}, i64 {of.frame['rows']}, "
            f"ptr {weight}, i64 {depth}, ptr {code.at(number, out, first)}, i64 {columns}, "
            f"i64 {code.whole('sub', columns, first)})"
        )
