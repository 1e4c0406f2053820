"""The tests of the project, in a process of their own."""

import subprocess
import sys
from collections import deque
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from xpbptt.commands.base.errors import UserError
from xpbptt.commands.selftest.check import FAILED, NOT_RUN, OK, PACKAGE, Outcome

TAIL = 40  # lines of a suite that failed
NAME = "the tests of the project"
USAGE = 4  # pytest's exit code where it could not even begin
HOW = "in a checkout of the project, with its group `test` installed: --suite tests"


def find(asked: str | None, *, wanted: bool) -> Path | str:
    """Return the folder of the tests, or why they are not run.

    Raises UserError if the folder that was asked for is not there, or pytest is not.
    """
    pytest = find_spec("pytest") is not None
    if asked is not None:
        if not Path(asked).is_dir():
            message = f"--suite {asked}: there is no such folder"
            raise UserError(message)
        if not pytest:
            message = f"--suite {asked}: pytest is not installed"
            raise UserError(message)
        return Path(asked)
    if not wanted:
        return f"it was left out; {HOW}"
    root = PACKAGE.parent
    if not (root / "pyproject.toml").is_file() or not (root / "tests" / "conftest.py").is_file():
        return f"the package is not in a checkout; {HOW}"
    return root / "tests" if pytest else f"pytest is not installed; {HOW}"


def run(folder: Path, backend: str, *, asked: bool, show: Callable[[str], None]) -> Outcome:
    """Run the tests on an array library."""
    command = [sys.executable, "-m", "pytest", str(folder), "--backend", backend]
    lines: deque[str] = deque(maxlen=TAIL)
    with subprocess.Popen(  # noqa: S603 - this Python and what was asked for
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        try:
            for line in process.stdout or ():
                lines.append(line.rstrip())
                show(lines[-1])
        except BaseException:
            process.terminate()
            raise
    said = [line for line in lines if line]
    if process.returncode == 0:
        return Outcome(NAME, OK, said[-1].strip("= ") if said else "")
    detail = "\n".join([f"exit code {process.returncode} of {' '.join(command[1:])}", *said])
    never_began = process.returncode == USAGE and not asked
    return Outcome(NAME, NOT_RUN if never_began else FAILED, detail)
