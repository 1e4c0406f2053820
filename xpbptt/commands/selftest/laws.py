"""The laws of `xpbptt.testing.laws`, on each net: a line of the report for each law and net."""

from collections.abc import Iterator
from functools import partial

from xpbptt.commands.selftest.check import Check, Setup, plural
from xpbptt.commands.selftest.nets import KINKED, NETS, nets
from xpbptt.testing.laws import LAWS

DTYPES = ("float32", "float64")  # of `engines`; the other laws are of float64
OF_A_CELL = "mutants"  # the law that no layout changes


def checks(setup: Setup) -> Iterator[Check]:
    """Yield a check for each law and net."""
    for law in LAWS:
        for name in NETS:
            yield Check(f"{law}, {name}", partial(_run, law, name, setup))


def _run(law: str, name: str, setup: Setup) -> str:
    found = nets(name, setup)[: 1 if law == OF_A_CELL else None]
    dtypes: list[dict[str, str]] = [{}]
    if law == "engines":
        half = ("float16",) if setup.backend == "cupy" and name != KINKED else ()
        asked = (*DTYPES[: 1 if setup.quick else None], *half)
        dtypes = [{"dtype": dtype} for dtype in asked]
    for net in found:
        for options in dtypes:
            try:
                LAWS[law](net, xp=setup.xp, **options)
            except AssertionError as error:
                error.add_note(f"of {net!r}")
                raise
    said = "".join(f", {options['dtype']}" for options in dtypes if options)
    return f"{plural(len(found), 'net')}{said}"
