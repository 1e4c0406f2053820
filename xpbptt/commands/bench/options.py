"""The options of ``python -m xpbptt bench``."""

import argparse
from collections.abc import Callable
from typing import Any

from xpbptt.commands.base.arguments import add_backend, number
from xpbptt.commands.bench.cases import CELLS, DTYPES, KINDS, SIZES, Size
from xpbptt.commands.bench.peers import NAMES

SECONDS, QUICK = 3.0, 0.3
ABOUT = "a whole pass, a masked one, forward alone, a step by net.step, a step by net.stream"
DESCRIPTION = (
    "Time xpbptt on this machine beside torch.nn, JAX, onnxruntime and the functions of "
    "xpbptt.notebook, in runs that take turns, after checking that all compute the same. The whole "
    "table takes a few minutes; --quick, --kind, --cell, --dtype and --size cut it down."
)
EPILOG = (
    "exit codes: 0 done; 2 something in the command has to be put right; 1 a peer computed "
    "something else, or the report could not be written; 130 stopped by Ctrl-C"
)


def add(commands: Any, run: Callable[[argparse.Namespace], int]) -> None:
    """Add the command to the command line."""
    about = "time the nets on this machine, beside other libraries"
    bench = commands.add_parser("bench", help=about, description=DESCRIPTION, epilog=EPILOG)
    bench.set_defaults(run=run)
    option = bench.add_argument
    add_backend(bench)
    for name, choices, what in [
        ("kind", KINDS, f"only rows of this kind: {ABOUT}"),
        ("cell", CELLS, "only this cell"),
        ("dtype", DTYPES, "only this dtype"),
        ("peer", NAMES, "only this one beside xpbptt; an error where it is not installed"),
    ]:
        option(f"--{name}", action="append", choices=choices, help=f"{what}; may be repeated")
    sizes = " ".join(",".join(map(str, size)) for size in SIZES)
    about = f"sizes instead of those of the table (of a whole pass {sizes}); may be repeated"
    option("--size", action="append", type=_size, metavar="T,B,H", help=about)
    above = number(float, 0, above=True)
    about = f"how long to measure each row (default: {SECONDS:g}, with --quick {QUICK:g})"
    option("--seconds", type=above, metavar="S", help=about)
    option("--quick", action="store_true", help="a rough measurement")
    about = "threads of xpbptt, NumPy, torch and onnxruntime (default: 1); JAX takes one or all"
    option("--threads", type=number(int, 1), default=1, metavar="N", help=about)
    about = "write the report as JSON to a file, or with - to standard output in place of the text"
    option("--json", metavar="FILE", help=about)
    about = "say where the time of each row goes, instead of comparing"
    option("--profile", action="store_true", help=about)
    about = "measure nothing: print what a step should take on some GPUs, by a model"
    option("--model", action="store_true", help=about)


def _size(word: str) -> Size:
    """Read T,B,H."""
    try:
        steps, batch, size = (int(part) for part in word.split(","))
    except ValueError:
        steps = batch = size = 0
    if min(steps, batch, size) < 1:
        message = f"must be three integers of at least 1, as 100,32,128 for T,B,H, got {word!r}"
        raise argparse.ArgumentTypeError(message)
    return steps, batch, size
