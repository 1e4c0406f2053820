"""A time step of a compiled cell is one product and one kernel, forward and again backward."""

from collections.abc import Iterator
from functools import partial

from xpbptt.commands.bench.cases import KINDS, Case
from xpbptt.commands.bench.counts import PerStep, per_step
from xpbptt.commands.bench.problem import draw
from xpbptt.commands.selftest.check import Check, CheckError, Setup
from xpbptt.commands.selftest.checks.kernels import require_kernels

BUDGETS = {  # forward and backward together; a step of a stream has the product of its input, too
    "train": PerStep(products=2, kernels=2),
    "masked": PerStep(products=2, kernels=2),
    "step": PerStep(products=2, kernels=1),
}
CELLS = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN tanh"}


def checks(setup: Setup) -> Iterator[Check]:
    """Yield a check for each cell."""
    return (
        Check(f"calls per time step, {name}", partial(_run, cell, setup))
        for cell, name in CELLS.items()
    )


def _run(cell: str, setup: Setup) -> str:
    require_kernels(CELLS[cell], setup)
    said = []
    for kind in KINDS:
        case = Case(kind, cell, "float32", 4, 3, 2)
        found = per_step(draw(case, xp=setup.xp, backend=setup.backend))
        if found != BUDGETS[kind]:
            wanted = _words(BUDGETS[kind])
            message = f"{kind}: {_words(found)} products + kernels, expected {wanted}"
            raise CheckError(message)
        said.append(f"{kind} {_words(found)}")
    return f"products + kernels: {', '.join(said)}"


def _words(calls: PerStep | None) -> str:
    if calls is None:
        return "not counted"
    return f"{calls.products:g} + {calls.kernels:g}"
