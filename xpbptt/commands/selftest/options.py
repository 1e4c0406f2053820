"""The options of ``python -m xpbptt selftest``."""

import argparse
from collections.abc import Callable
from typing import Any

from xpbptt.commands.base.arguments import add_backend

DESCRIPTION = (
    "Check xpbptt on this machine and print a report to paste into an issue: versions, device, "
    "values and gradients, what a time step asks of the device, times, and the tests of the "
    "project. Have a GPU? Run it with --backend cupy."
)
EPILOG = (
    "exit codes: 0 nothing failed; 1 something did, or the JSON could not be written; 2 something "
    "in the command has to be put right; 130 stopped by Ctrl-C"
)


def add(commands: Any, run: Callable[[argparse.Namespace], int]) -> None:
    """Add the command to the command line."""
    about = "check everything on this machine, for a report to paste into an issue"
    selftest = commands.add_parser("selftest", help=about, description=DESCRIPTION, epilog=EPILOG)
    selftest.set_defaults(run=run)
    option = selftest.add_argument
    add_backend(selftest)
    about = (
        "run the tests in this folder too, with pytest (default: those of the checkout that the "
        "package is in, if it is in one and they can run)"
    )
    option("--suite", metavar="FOLDER", help=about)
    about = "check less, time one row, and run no tests unless --suite names them: seconds"
    option("--quick", action="store_true", help=about)
    about = "write the report as JSON to a file, or with - to standard output in place of the text"
    option("--json", metavar="FILE", help=about)
