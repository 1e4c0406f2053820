"""The products alone, by the library's own matrix product."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from xpbptt._arrays.types import AnyArray
from xpbptt.commands.bench.problem import Problem
from xpbptt.commands.bench.timing import Run

GATES = {"lstm": 4, "gru": 3, "rnn": 1}


class Products(NamedTuple):
    """The matrix products of a row in groups, each a function without arguments."""

    inputs: Run  # ``u = x W_ihᵀ`` of all steps at once; of a stream in each step
    forward: Run  # ``v = h W_hhᵀ`` in each step, W_hhᵀ contiguous
    backward: Run  # ``dh = dv W_hh`` in each step; where nothing is trained nothing
    gradients: Run  # ``dW_ih, dW_hh, dx`` of all steps at once; where nothing is trained nothing

    def run(self) -> Any:
        """Compute all of them, and return what to wait for."""
        return [part() for part in self]


def products(problem: Problem) -> Products:
    """Return the products of a row, on the library that xpbptt is timed on."""
    case, xp = problem.case, problem.xp
    T, B, H = case.steps, case.batch, case.size
    rows = GATES[case.cell] * H
    multiply = _multiply(problem)
    random = np.random.default_rng(6)

    def draw(*shape: int) -> AnyArray:
        return xp.asarray(random.standard_normal(shape).astype(case.dtype))

    def each(*shape: int) -> list[AnyArray]:
        block = draw(T, *shape)
        return [block[t, ...] for t in range(T)]

    x, du = draw(T * B, H), draw(T * B, rows)
    W_ih, W_hh, W_ih_T, W_hh_T = draw(rows, H), draw(rows, H), draw(H, rows), draw(H, rows)
    steps = list(zip(each(B, H), each(B, rows), strict=True))
    outputs = list(zip(each(B, rows), each(B, H), strict=True))
    u, dW, other, dx = draw(T * B, rows), draw(rows, H), draw(rows, H), draw(T * B, H)

    def forward() -> Any:
        return [multiply(h, W_hh_T, v) for (h, _), (v, _) in zip(steps, outputs, strict=True)]

    def backward() -> Any:
        return [multiply(dv, W_hh, dh) for (_, dv), (_, dh) in zip(steps, outputs, strict=True)]

    def gradients() -> Any:
        return multiply(du.T, x, dW), multiply(du.T, x, other), multiply(du, W_ih, dx)

    if case.streamed:
        streamed = [(h, v) for (h, _), (v, _) in zip(steps, outputs, strict=True)]
        inputs = lambda: [multiply(h, W_ih_T, v) for h, v in streamed]  # noqa: E731
        return Products(inputs, forward, _nothing, _nothing)
    inputs = lambda: multiply(x, W_ih_T, u)  # noqa: E731
    if case.trained:
        return Products(inputs, forward, backward, gradients)
    return Products(inputs, forward, _nothing, _nothing)


def _nothing() -> None:
    """Compute nothing."""


def _multiply(problem: Problem) -> Callable[[AnyArray, AnyArray, AnyArray], AnyArray]:
    """Return the fastest call of the library for ``a @ b``, into the third array if it can."""
    if problem.backend == "numpy":
        return lambda a, b, out: np.dot(a, b, out=out)
    if problem.backend in {"cupy", "torch"}:
        matmul = problem.xp.matmul
        return lambda a, b, out: matmul(a, b, out=out)
    return lambda a, b, _: a @ b
