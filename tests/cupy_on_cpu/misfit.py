"""Refuse a CuPy that is not the one that the simulator was written for."""

from importlib.metadata import packages_distributions, version
from typing import NoReturn

WRITTEN_FOR = "14.2"


def misfit(what: str) -> NoReturn:
    """Raise the error that says what does not fit.

    Parameters
    ----------
    what : str
        What is missing or different, as a clause.
    """
    names = packages_distributions().get("cupy", ["cupy"])
    found = ", ".join(f"{name} {version(name)}" for name in dict.fromkeys(names))
    message = (
        f"the simulator in tests/cupy_on_cpu was written for CuPy {WRITTEN_FOR} and does not fit "
        f"{found}: {what}"
    )
    raise RuntimeError(message)
