"""What a mutant is, and how it is planted."""

import shutil
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
NEEDED = ("xpbptt", "tests", "conftest.py", "pyproject.toml", "README.md")


class Mutant(NamedTuple):
    """A defect.

    Attributes
    ----------
    defect : str
        What is wrong, for people.
    path : str
        The file of the package that is changed.
    old, new : str
        What stands there once, and what stands there in the mutant.
    test : str
        The test that must fail, as pytest names it.
    """

    defect: str
    path: str
    old: str
    new: str
    test: str


def misfit(mutant: Mutant, root: Path = ROOT) -> str:
    """Return why a mutant cannot be planted; empty if it can."""
    source = root / "xpbptt" / mutant.path
    count = source.read_text(encoding="utf-8").count(mutant.old) if source.exists() else 0
    if count != 1:
        return f"what it replaces stands {count} times in xpbptt/{mutant.path}"
    file, _, name = mutant.test.partition("::")
    name, _, _ = name.partition("[")
    tests = root / file
    if not tests.exists() or f"def {name}(" not in tests.read_text(encoding="utf-8"):
        return f"there is no test {mutant.test}"
    return ""


def copy(folder: Path) -> None:
    """Copy what the tests need into an empty folder."""
    ignored = shutil.ignore_patterns("__pycache__")
    for name in NEEDED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy(source, folder / name)


def plant(mutant: Mutant, folder: Path) -> None:
    """Plant a mutant in a copy."""
    path = folder / "xpbptt" / mutant.path
    source = path.read_text(encoding="utf-8")
    path.write_text(source.replace(mutant.old, mutant.new), encoding="utf-8")
