"""The step of a stream as one function: both products, row by row, and the cell."""

from collections.abc import Callable
from ctypes import addressof, c_char
from operator import is_
from typing import Any

import numpy as np

from xpbptt._arrays.types import AnyArray
from xpbptt.kernels import loops
from xpbptt.kernels.llvm import library
from xpbptt.kernels.llvm.build import load
from xpbptt.kernels.llvm.call import address, plain, words
from xpbptt.kernels.llvm.code import Code, Value
from xpbptt.kernels.llvm.function import Function, Names
from xpbptt.kernels.llvm.machine import features
from xpbptt.kernels.llvm.sums import Body
from xpbptt.kernels.llvm.vectors import Vector, vector
from xpbptt.kernels.places import M
from xpbptt.kernels.programs import Task
from xpbptt.kernels.target import Kernel

ROWS = 4  # of a weight that are multiplied at once
SMALL = 2**14  # elements of a matrix whose product with a vector is about as fast as by BLAS

quiet = np.errstate(all="ignore")


def step(kernel: Kernel, arguments: tuple[str, ...]) -> Callable[..., None]:
    """Return the step of a stream, one function for one sequence; see `loops.single`."""
    several, flat = quiet(loops.single(kernel, arguments)), loops.flat
    kind = vector(kernel.dtype, features())
    text = [
        library.library(kind, kernel.task.program),
        apply(kind),
        Single(kind, kernel.task, arguments).text(),
    ]
    function = load("\n".join(text))
    gates, read = kernel.task.gates, kernel.task.states.index(kernel.task.read)

    plainly: list[Any] = [None, (), []]  # parameters, all of them plain, and their addresses

    def run(x: AnyArray, params: Any, state: Any, new: Any) -> None:
        nonlocal plainly
        weight_ih = params.weight_ih
        if x.shape[0] != 1 or weight_ih.size > SMALL:
            several(x, params, state, new)
            return
        known, held, places = plainly
        if known is not params:
            given = flat(params)
            held = [plain(each) for each in given]
            places = [address(each) for each in held]
            if all(map(is_, held, given)):
                plainly = [params, held, places]
        others = [plain(x), *map(plain, state), *new]
        first, *rest = [addressof(c_char.from_buffer(each)) for each in others]
        hidden = weight_ih.shape[0] // gates
        function(words([x.shape[1], hidden, state[read].shape[1], first, *places, *rest]))

    return run


def names(arguments: tuple[str, ...]) -> Names:
    """Return the frame of the step."""
    return Names(("inputs", "hidden", "read"), arguments)


class Single(Function):
    """The step of a stream of one sequence."""

    def __init__(self, vector: Vector, task: Task, arguments: tuple[str, ...]) -> None:
        super().__init__(vector, task, names(arguments))

    def text(self) -> str:
        """Return the function."""
        code, frame, task = self.code, self.frame, self.task
        products = [("weight_ih", frame["inputs"], "x", "u", self.task.gates)]
        if self.task.recurrent:
            products += [("weight_hh", frame["read"], self.task.read, "v", self.task.recurrent)]
        for weight, depth, row, name, gates in products:
            count = code.times(frame["hidden"], gates)
            out = code.let(f"alloca {self.vector.number}, i64 {count}, align 64")
            code.do(
                f"call void @apply(ptr {frame[weight]}, i64 {depth}, i64 {count}, "
                f"ptr {frame[row]}, ptr {out})"
            )
            frame.name(name, out)
        if task.projects:
            number = self.vector.number
            frame.name(M.name, code.let(f"alloca {number}, i64 {frame['hidden']}, align 64"))

        def over(body: Body) -> None:
            with code.loop(0, frame["hidden"], self.vector.lanes) as j:
                body(lambda access: self.element(access, 0, 0, j), j)

        self.row(over, lambda access: self.element(access, 0, 0, 0))
        if task.projects:
            code.do(
                f"call void @apply(ptr {frame['weight_hr']}, i64 {frame['hidden']}, "
                f"i64 {frame['read']}, ptr {frame[M.name]}, ptr {frame[task.output]})"
            )
        return code.text()


def apply(vector: Vector) -> str:
    """Return a function that multiplies a matrix (N, K) by a vector (K,).

    ``apply(ptr weight, i64 depth, i64 count, ptr vector, ptr out)``
    """
    arguments = "ptr %weight", "i64 %depth", "i64 %count", "ptr %vector", "ptr %out"
    code = Code("apply", arguments)
    full = code.whole("sub", "%count", code.whole("urem", "%count", ROWS))
    with code.loop(0, full, ROWS) as first:
        _rows(code, vector, first, ROWS)
    with code.loop(full, "%count") as first:
        _rows(code, vector, first, 1)
    return code.text()


def _rows(code: Code, vector: Vector, first: Value, count: int) -> None:
    number, kind, lanes = vector.number, vector.type, vector.lanes
    sums = [code.slot(kind) for _ in range(count)]
    for each in sums:
        code.store(kind, "zeroinitializer", each)
    rows = [
        code.at(number, "%weight", code.times(code.total(first, r), "%depth")) for r in range(count)
    ]
    whole = code.whole("sub", "%depth", code.whole("urem", "%depth", lanes))
    with code.loop(0, whole, lanes) as k:
        x = vector.load(code, code.at(number, "%vector", k))
        for row, each in zip(rows, sums, strict=True):
            weight = vector.load(code, code.at(number, row, k))
            _add(code, vector, weight, x, each)
    left = code.whole("sub", "%depth", whole)
    with code.when(code.test("sgt", left, 0)):
        inside = vector.first(code, left)
        x = vector.load_some(code, code.at(number, "%vector", whole), inside)
        for row, each in zip(rows, sums, strict=True):
            weight = vector.load_some(code, code.at(number, row, whole), inside)
            _add(code, vector, weight, x, each)
    for r, each in enumerate(sums):
        total = code.let(
            f"call reassoc {number} @llvm.vector.reduce.fadd.{vector.suffix}("
            f"{number} {vector.literal(0.0)}, {kind} {code.load(kind, each)})"
        )
        code.store(number, total, code.at(number, "%out", code.total(first, r)))


def _add(code: Code, vector: Vector, left: str, right: str, total: str) -> None:
    kind = vector.type
    more = code.let(
        f"call {kind} @llvm.fmuladd.{vector.suffix}({kind} {left}, {kind} {right}, "
        f"{kind} {code.load(kind, total)})"
    )
    code.store(kind, more, total)
