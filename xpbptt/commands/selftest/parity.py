"""Outputs, states and gradients are those of NumPy in float64, from the same rounded numbers."""

from collections.abc import Iterator
from functools import partial

from xpbptt._arrays.tree import leaves
from xpbptt.commands.selftest.check import Check, CheckError, NotApplicable, Setup, plural
from xpbptt.commands.selftest.compare import close
from xpbptt.commands.selftest.nets import NETS, Result, cases, smooth, train
from xpbptt.commands.selftest.switch import as_written

TOLERANCE = {"float64": 1e-10, "float32": 1e-4, "float16": 3e-2}


def checks(setup: Setup) -> Iterator[Check]:
    """Yield a check for each net and dtype."""
    for dtype in TOLERANCE:
        for name in NETS:
            yield Check(
                f"as NumPy in {dtype}, {name}",
                partial(_run, name, dtype, setup),
            )


def _run(name: str, dtype: str, setup: Setup) -> str:
    if not hasattr(setup.xp, dtype):
        message = f"{setup.backend} has no {dtype}"
        raise NotApplicable(message)
    errors = []
    for case in cases(name, setup, dtype):
        found = train(case.net, case.numbers)
        _check_arrays(found, dtype, case.layout, setup)
        with as_written():
            wanted = train(case.net, case.host)
        mine, theirs = (smooth(name, dtype, each) for each in (found, wanted))
        errors.append(close(mine, theirs, TOLERANCE[dtype], case.layout))
    return f"{plural(len(errors), 'net')}: at most {max(errors):.0e} off"


def _check_arrays(result: Result, dtype: str, layout: object, setup: Setup) -> None:
    """See that the arrays are of the library and the dtype of those that went in."""
    like = setup.xp.ones(1, dtype=getattr(setup.xp, dtype))
    for path, leaf in leaves(result, "result"):
        if type(leaf) is not type(like) or leaf.dtype != like.dtype:
            message = f"{layout}: {path} is a {leaf.dtype} {type(leaf)}, expected {dtype}"
            raise CheckError(message)
