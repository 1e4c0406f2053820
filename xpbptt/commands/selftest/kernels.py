"""Compiled cells: each kernel can be built."""

import os
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from typing import Any, get_args

from xpbptt.commands.selftest.check import Check, CheckError, NotApplicable, Setup
from xpbptt.commands.selftest.nets import EAGER, NETS
from xpbptt.kernels import VARIABLE, Form, Kind, find

WHOLE: tuple[Kind, ...] = ("record", "advance", "back", "watch")
DTYPES = {"numpy": ("float32", "float64"), "cupy": ("float16", "float32", "float64")}


def checks(setup: Setup) -> Iterator[Check]:
    """Yield a check for each net."""
    return (Check(f"kernels are built, {name}", partial(_built, name, setup)) for name in NETS)


def require_kernels(name: str, setup: Setup) -> None:
    """Raise where nothing is to be compiled.

    Raises NotApplicable with the reason. That a kernel cannot be built is none.
    """
    if setup.backend not in DTYPES:
        reason = f"cells run eagerly on {setup.backend}"
    elif os.environ.get(VARIABLE) == "0":
        reason = f"{VARIABLE}=0 is set, so cells run eagerly"
    elif setup.backend == "numpy" and find_spec("llvmlite") is None:
        reason = "llvmlite is not installed, so cells run eagerly"
    elif name == EAGER:
        reason = "it has a second product in the step and runs eagerly everywhere"
    else:
        return
    raise NotApplicable(reason)


def _built(name: str, setup: Setup) -> str:
    require_kernels(name, setup)
    xp = setup.xp
    cell: Any = NETS[name](1, 1).cell
    count = 0
    for dtype in DTYPES[setup.backend]:
        for form, kinds in (
            (Form(), get_args(Kind)),
            (Form(masked=True), WHOLE),
            (Form(masked=True, resets=True), WHOLE),
        ):
            found = find(cell, kinds, xp.ones(1, dtype=getattr(xp, dtype)).dtype, form=form, xp=xp)
            if isinstance(found, str):
                message = f"{form.label}{dtype}: {found}"
                raise CheckError(message)
            count += len(found.kernels)
    return f"{count} kernels"
