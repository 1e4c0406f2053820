"""Whether a mutant is caught: its test is run in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from .mutant import Mutant, copy, misfit, plant

LIMIT = 120  # seconds for a test
FAILED = 1  # what pytest returns where tests were run and one failed; all else is no verdict


class Verdict(NamedTuple):
    """``caught``, ``SURVIVED`` or ``BROKEN``, and what was seen."""

    word: str
    seen: str = ""


def verdict(mutant: Mutant) -> Verdict:
    """Plant a mutant in a copy of the package and run its test."""
    reason = misfit(mutant)
    if reason:
        return Verdict("BROKEN", reason)
    with TemporaryDirectory() as folder:
        copy(Path(folder))
        plant(mutant, Path(folder))
        code, output = run_tests([mutant.test], Path(folder))
    if code == 0 and " passed" in output:
        return Verdict("SURVIVED", "the test passed")
    if code == 0:
        return Verdict("BROKEN", f"{mutant.test} was skipped")
    if code == FAILED and "\nFAILED " in output:
        return Verdict("caught")
    return Verdict("BROKEN", output)


def healthy(mutants: Sequence[Mutant]) -> Verdict:
    """Run the tests of all mutants without any of them."""
    with TemporaryDirectory() as folder:
        copy(Path(folder))
        tests = sorted({mutant.test for mutant in mutants})
        code, output = run_tests(tests, Path(folder), limit=LIMIT * 5)
    return Verdict("passed") if code == 0 else Verdict("BROKEN", output)


def run_tests(tests: Sequence[str], folder: Path, *, limit: float = LIMIT) -> tuple[int, str]:
    """Run tests of a copy; return pytest's exit status, or -1 past the limit, and its output."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    try:
        done = subprocess.run(
            [*command, "--backend", "numpy", *tests],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(folder)},
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return -1, f"it took more than {limit:.0f} s"
    return done.returncode, done.stdout + done.stderr
