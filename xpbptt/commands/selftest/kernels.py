"""Compiled cells: each kernel can be built."""

import os
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from typing import Any, get_args

from xpbptt.commands.selftest.check import Check, CheckError, NotApplicable, Setup
from xpbptt.commands.selftest.nets import EAGER, NETS, H
from xpbptt.kernels import VARIABLE, Form, Kind, find
from xpbptt.testing.laws.sample import BATCH

WHOLE: tuple[Kind, ...] = ("record", "advance", "back", "watch")
PLAIN, MASKED, RESETS = Form(), Form(masked=True), Form(masked=True, resets=True)
FORMS: dict[str, dict[str, tuple[Form, ...]]] = {  # of each loop; a graph has no resets
    "numpy": {"": (PLAIN, MASKED, RESETS)},
    "cupy": {
        "sequence": (PLAIN, MASKED, RESETS),
        "stepwise": (PLAIN, MASKED, RESETS),
        "graph": (PLAIN, MASKED),
    },
}
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
        kind = xp.ones(1, dtype=getattr(xp, dtype)).dtype
        for loop, forms in FORMS[setup.backend].items():
            for form in forms:
                kinds = get_args(Kind) if form == PLAIN else WHOLE
                found = find(cell, kinds, kind, form=form, xp=xp, loop=loop)
                # A kernel for a whole sequence is compiled when the sizes are known.
                refused = found if isinstance(found, str) else found.refusal(H, BATCH)
                if isinstance(found, str) or refused:
                    message = f"{form.label or 'plain_'}{dtype}: {refused}"
                    raise CheckError(message)
                count += len(found.kernels)
    return f"{count} kernels"
