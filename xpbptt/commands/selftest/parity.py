"""Outputs, states and gradients are those of NumPy in float64, from the same rounded numbers."""

from collections.abc import Iterator
from functools import partial

from xpbptt._arrays.host import to_numpy
from xpbptt._arrays.tree import leaves, map_leaves
from xpbptt._arrays.types import Tree
from xpbptt.commands.selftest.check import Check, CheckError, NotApplicable, Setup, plural
from xpbptt.commands.selftest.nets import KINKED, NETS, nets
from xpbptt.testing.laws.compare import difference, named, same
from xpbptt.testing.laws.sample import Sample, as_eager, draw

TOLERANCE = {"float64": 1e-10, "float32": 1e-4, "float16": 3e-2}
NUMBERS = ("params", "x", "state", "dy", "dstate")  # of a `Sample`; its mask stays as it is


def checks(setup: Setup) -> Iterator[Check]:
    """Yield a check for each net and dtype."""
    for dtype in TOLERANCE:
        for name in NETS:
            yield Check(f"as NumPy in {dtype}, {name}", partial(_run, name, dtype, setup))


def _run(name: str, dtype: str, setup: Setup) -> str:
    if not hasattr(setup.xp, dtype):
        message = f"{setup.backend} has no {dtype}"
        raise NotApplicable(message)
    errors = []
    for net in nets(name, setup):
        for masked in (False, True):
            here = draw(net, xp=setup.xp, masked=masked, dtype=dtype)
            law = f"{net!r}{', masked' * masked}"
            mine = _smooth(name, dtype, here.train())
            _check_arrays(mine, here, law)
            there = _on_host(draw(net, masked=masked, dtype=dtype)._replace(net=as_eager(net)))
            theirs = _smooth(name, dtype, there.train())
            mine = map_leaves(_wide, mine)
            same(law, mine, theirs, TOLERANCE[dtype])
            pairs = zip(named(mine), named(theirs), strict=True)
            errors.append(max(difference(a, b) for (_, a), (_, b) in pairs))
    return f"{plural(len(errors), 'net')}: at most {max(errors):.0e} off"


def _smooth(name: str, dtype: str, result: dict[str, Tree]) -> dict[str, Tree]:
    """Return what of a result changes little with rounding: of `KINKED` in float16 no gradients."""
    return result | {"grads": None} if name == KINKED and dtype == "float16" else result


def _check_arrays(result: dict[str, Tree], of: Sample, law: str) -> None:
    """See that the arrays are of the library and the dtype of those that went in."""
    for path, leaf in leaves(result, "result"):
        if type(leaf) is not type(of.x) or leaf.dtype != of.x.dtype:
            message = f"{law}: {path} is a {leaf.dtype} {type(leaf)}, expected {of.x.dtype}"
            raise CheckError(message)


def _on_host(of: Sample) -> Sample:
    """Return a sample of NumPy with its rounded numbers in float64."""
    numbers = {name: map_leaves(_wide, getattr(of, name)) for name in NUMBERS}
    return of._replace(**numbers)


def _wide(array: object) -> object:
    return to_numpy(array).astype("float64")
