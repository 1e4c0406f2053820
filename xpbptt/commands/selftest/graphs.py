"""On a GPU: steps as a CUDA graph, which is off unless it is chosen, against a step at a time."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from xpbptt.commands.selftest.check import Check, CheckError, Setup
from xpbptt.commands.selftest.engines import QUICK, chosen
from xpbptt.commands.selftest.nets import COMPILED, NETS
from xpbptt.testing.laws.compare import difference, named, same
from xpbptt.testing.laws.compiled import ROUNDING
from xpbptt.testing.laws.sample import draw

LENGTHS = 1, 31, 32, 33, 65  # around the steps of one launch
SIZES = (5, 4), (203, 37)  # H and B
DTYPE = "float32"


def checks(setup: Setup) -> Iterator[Check]:
    """Yield a check for each net."""
    if setup.backend == "cupy":
        for name in [QUICK] if setup.quick else COMPILED:
            yield Check(f"graph as stepwise, {name}", partial(_agree, name, setup))


def _agree(name: str, setup: Setup) -> str:
    """Compare both passes; what cuBLAS does for a graph may round otherwise."""
    most = 0.0
    for hidden, batch in SIZES[: 1 if setup.quick else None]:
        net = NETS[name](3, hidden, bidirectional=True)
        for steps, masked in ((steps, masked) for steps in LENGTHS for masked in (False, True)):
            of = draw(
                net, xp=setup.xp, seed=0, masked=masked, dtype=DTYPE, steps=steps, batch=batch
            )
            found = []
            for loop in ("graph", "stepwise"):
                with chosen(loop):
                    answer = net.engine(of.params, of.x).forward
                    if answer.name != loop:
                        raise CheckError(answer.reason)
                    found.append(of.train() | of.infer())
            ours, expected = found
            same(f"graph as stepwise, T = {steps}", ours, expected, ROUNDING[DTYPE])
            most = max(most, *_differences(ours, expected))
    if not most:
        return "the same bits"
    return f"at most {most:.1e} apart, relative to the largest element"


def _differences(one: Any, other: Any) -> Iterator[float]:
    pairs = zip(named(one), named(other), strict=True)
    return (difference(a, b) for (_, a), (_, b) in pairs)
