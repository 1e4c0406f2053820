"""Gradients are derivatives of the forward pass: `xpbptt.testing.check_gradients`, in float64."""

from collections.abc import Iterator
from functools import partial

from xpbptt.commands.selftest.check import Check, CheckError, Setup, plural
from xpbptt.commands.selftest.nets import NETS, cases
from xpbptt.testing import GradientError, check_gradients


def checks(setup: Setup) -> Iterator[Check]:
    """Yield a check for each net."""
    return (Check(f"gradients, {name}", partial(_run, name, setup)) for name in NETS)


def _run(name: str, setup: Setup) -> str:
    errors, methods = [], []
    for net, layout, numbers, _ in cases(name, setup):
        options = {} if numbers.mask is None else {"mask": numbers.mask}
        try:
            found = check_gradients(net, numbers.params, numbers.x, numbers.state, **options)
        except GradientError as error:
            message = f"{layout}: {error}"
            raise CheckError(message) from error
        errors.append(found.error)
        methods.append(found.method)
    how = " and ".join(sorted(set(methods)))
    return f"{plural(len(errors), 'net')} against {how}: at most {max(errors):.0e} off"
