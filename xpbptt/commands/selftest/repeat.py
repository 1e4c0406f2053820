"""The same input gives the same bits."""

from collections.abc import Iterator
from functools import partial

from xpbptt.commands.selftest.check import Check, Setup
from xpbptt.commands.selftest.compare import same_bits
from xpbptt.commands.selftest.nets import NETS, cases, train

RUNS = 3


def checks(setup: Setup) -> Iterator[Check]:
    """Yield a check for each net."""
    return (Check(f"the same bits again, {name}", partial(_run, name, setup)) for name in NETS)


def _run(name: str, setup: Setup) -> str:
    for case in cases(name, setup, "float32"):
        first = train(case.net, case.numbers)
        for _ in range(RUNS - 1):
            same_bits(train(case.net, case.numbers), first, case.layout)
    return f"{RUNS} runs in float32"
