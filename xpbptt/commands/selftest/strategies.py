"""Every way to save memory gives the gradients of keeping everything."""

from collections.abc import Iterator
from functools import partial

import xpbptt
from xpbptt.commands.selftest.check import Check, Setup
from xpbptt.commands.selftest.compare import close
from xpbptt.commands.selftest.nets import NETS, B, Case, T, cases, train

TOLERANCE = 1e-12


def checks(setup: Setup) -> Iterator[Check]:
    """Yield a check for each net."""
    return (Check(f"strategies as KeepAll, {name}", partial(_run, name, setup)) for name in NETS)


def strategies(case: Case) -> list[object]:
    """Return all but `KeepAll`, the truncated one at full length."""
    little = xpbptt.Binomial(2)
    cost = case.net.cost(T, B, "float64", bptt=little, masked=case.layout.masked)
    budget = xpbptt.Budget(cost.peak)
    return [xpbptt.KeepStates(), xpbptt.Segments(2), little, budget, xpbptt.Truncated(T)]


def _run(name: str, setup: Setup) -> str:
    errors = []
    for case in cases(name, setup):
        wanted = train(case.net, case.numbers)
        for bptt in strategies(case):
            found = train(case.net, case.numbers, bptt)
            errors.append(close(found, wanted, TOLERANCE, f"{bptt}, {case.layout}"))
    return f"{len(errors)} passes: at most {max(errors):.0e} off"
