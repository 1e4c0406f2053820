"""The report as JSON: to a file, or to standard output."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from xpbptt._arrays import atomic
from xpbptt.commands.base.errors import TrainingError, UserError

STDOUT = "-"


def probe(name: str | None) -> None:
    """See whether the file that ``--json`` names can be written, before anything is measured.

    Raises UserError if it cannot.
    """
    if name in {None, STDOUT}:
        return
    try:
        atomic.probe(Path(str(name)))
    except (OSError, ValueError) as error:  # a ValueError is a null byte in the path
        reason = getattr(error, "strerror", None) or error
        message = f"--json {name} cannot be written: {reason}"
        raise UserError(message) from error


def shown(name: str | None) -> Callable[[str], None]:
    """Return what prints the report as text: to standard error where the JSON takes the output."""
    return partial(print, file=sys.stderr if name == STDOUT else sys.stdout, flush=True)


def write(name: str | None, document: str) -> None:
    """Write the report to where ``--json`` says.

    Raises TrainingError if the file could not be written.
    """
    if name == STDOUT:
        print(document)
    elif name is not None:
        try:
            atomic.write(Path(name), (document + "\n").encode())
        except OSError as error:
            message = f"--json {name} could not be written: {error.strerror}"
            raise TrainingError(message) from error
