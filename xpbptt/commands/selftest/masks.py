"""What a mask leaves out leaves no trace, be it NaN."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from xpbptt.commands.selftest.check import Check, CheckError, Setup, plural
from xpbptt.commands.selftest.compare import on_host, same_bits
from xpbptt.commands.selftest.nets import NETS, Case, Numbers, cases, train


def checks(setup: Setup) -> Iterator[Check]:
    """Yield a check for each net."""
    return (Check(f"NaN in the padding, {name}", partial(_run, name, setup)) for name in NETS)


def _run(name: str, setup: Setup) -> str:
    masked = [case for case in cases(name, setup) if case.layout.masked]
    for case in masked:
        results = [train(case.net, _padded(case, value, setup)) for value in (0.0, np.nan)]
        same_bits(results[1], results[0], case.layout)
        _check_blank(results[1].y, case)
        _check_blank(results[1].grads.x, case)
    return f"{plural(len(masked), 'net')}: not a bit of it in outputs, states and gradients"


def _padded(case: Case, value: float, setup: Setup) -> Numbers:
    x = np.where(case.host.mask[..., None], case.host.x, value)
    return case.numbers._replace(x=setup.xp.asarray(x))


def _check_blank(array: object, case: Case) -> None:
    """See that an array is zero where the mask leaves out."""
    (values,) = on_host(array).values()
    if values[~case.host.mask].any():
        message = f"{case.layout}: what the mask leaves out is not zero"
        raise CheckError(message)
