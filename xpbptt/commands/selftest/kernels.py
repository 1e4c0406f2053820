"""Compiled cells: each kernel can be built, and gives what the cell gives as it is written."""

import os
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from typing import Any, get_args

from xpbptt.commands.selftest.check import Check, CheckError, NotApplicable, Setup
from xpbptt.commands.selftest.compare import close
from xpbptt.commands.selftest.nets import AS_WRITTEN, NETS, cases, smooth, train
from xpbptt.commands.selftest.switch import as_written
from xpbptt.kernels import VARIABLE, Kind, find

TOLERANCE = {"float64": 1e-12, "float32": 1e-5, "float16": 2e-2}
MASKED: tuple[Kind, ...] = ("record", "advance", "back", "watch")
DTYPES = {"numpy": ("float32", "float64"), "cupy": ("float16", "float32", "float64")}


def checks(setup: Setup) -> Iterator[Check]:
    """Yield two checks for each net: built, and equal."""
    for name in NETS:
        yield Check(f"kernels are built, {name}", partial(_built, name, setup))
    for name in NETS:
        yield Check(f"compiled as written, {name}", partial(_equal, name, setup))


def require_kernels(name: str, setup: Setup) -> None:
    """Raise where nothing is to be compiled.

    Raises NotApplicable with the reason. That a kernel cannot be built is none.
    """
    if setup.backend not in DTYPES:
        reason = f"cells run as written on {setup.backend}"
    elif os.environ.get(VARIABLE) == "0":
        reason = f"{VARIABLE}=0 is set, so cells run as written"
    elif setup.backend == "numpy" and find_spec("llvmlite") is None:
        reason = "llvmlite is not installed, so cells run as written"
    elif name == AS_WRITTEN:
        reason = "it has a second product in the step and runs as written everywhere"
    else:
        return
    raise NotApplicable(reason)


def _built(name: str, setup: Setup) -> str:
    require_kernels(name, setup)
    xp = setup.xp
    cell: Any = NETS[name](1, 1).cell
    count = 0
    for dtype in DTYPES[setup.backend]:
        for masked, kinds in ((False, get_args(Kind)), (True, MASKED)):
            found = find(
                cell, kinds, xp.ones(1, dtype=getattr(xp, dtype)).dtype, masked=masked, xp=xp
            )
            if isinstance(found, str):
                message = f"{'masked' if masked else 'plain'}, {dtype}: {found}"
                raise CheckError(message)
            count += len(found.kernels)
    return f"{count} kernels"


def _equal(name: str, setup: Setup) -> str:
    require_kernels(name, setup)
    said = []
    for dtype in DTYPES[setup.backend]:
        errors = []
        for case in cases(name, setup, dtype):
            compiled = train(case.net, case.numbers)
            with as_written():
                written = train(case.net, case.numbers)
            found, wanted = (smooth(name, dtype, each) for each in (compiled, written))
            errors.append(close(found, wanted, TOLERANCE[dtype], f"{dtype}, {case.layout}"))
        said.append(f"{max(errors):.0e} in {dtype}")
    return f"at most {', '.join(said)} off"
