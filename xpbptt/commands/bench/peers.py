"""The others, each imported when it is asked for, and reported as missing where it is not there."""

from importlib import import_module

from xpbptt.commands.bench.contestant import Contestant
from xpbptt.commands.bench.problem import Problem

NAMES = ("torch", "jax", "notebook")


def missing(name: str) -> str | None:
    """Say why a peer cannot be compared with on this machine; None if it can."""
    if name == "notebook":
        return None
    try:
        import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name:
            return "not installed"
        return f"its import fails: {error}"
    except Exception as error:  # noqa: BLE001 - a broken installation raises anything
        return f"its import fails: {error}"
    return None


def make(name: str, problem: Problem) -> Contestant | str:
    """Return a peer that computes a row, or why there is none."""
    made: Contestant | str = import_module(f"xpbptt.commands.bench.with_{name}").make(problem)
    return made
