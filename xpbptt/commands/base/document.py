"""The report as JSON: to a file, or to standard output."""

from collections.abc import Callable
from pathlib import Path

from xpbptt.commands.base import atomic
from xpbptt.commands.base.errors import TrainingError, UserError

STDOUT = "-"


def probe(name: str | None) -> None:
    """See whether the file that ``--json`` names can be written, before anything is measured.

    Raises
    ------
    UserError
        If it cannot.
    """
    if name in {None, STDOUT}:
        return
    try:
        atomic.probe(Path(str(name)))
    except (OSError, ValueError) as error:  # a ValueError is a null byte in the path
        reason = getattr(error, "strerror", None) or error
        message = f"--json {name} cannot be written: {reason}"
        raise UserError(message) from error


def write(name: str | None, document: str, output: Callable[[str], None]) -> None:
    """Write the report to where ``--json`` says.

    Parameters
    ----------
    name : str or None
        A file, or ``-``; None for nowhere.
    document : str
        The report.
    output : callable
        Takes what goes to standard output.

    Raises
    ------
    TrainingError
        If the file could not be written.
    """
    if name == STDOUT:
        output(document)
    elif name is not None:
        try:
            atomic.write(Path(name), (document + "\n").encode())
        except OSError as error:
            message = f"--json {name} could not be written: {error.strerror}"
            raise TrainingError(message) from error
