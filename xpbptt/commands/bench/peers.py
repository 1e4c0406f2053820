"""The others, each imported when it is asked for, and reported as missing where it is not there."""

from importlib import import_module

from xpbptt.commands.bench.contestant import Contestant
from xpbptt.commands.bench.problem import Problem

NAMES = ("torch", "jax", "onnxruntime", "notebook")
# The packages that a peer needs; those that are not here need the one they are named after.
NEEDS = {"onnxruntime": ("onnxruntime", "onnx"), "notebook": ()}


def missing(name: str) -> str | None:
    """Say why a peer cannot be compared with on this machine; None if it can."""
    for package in NEEDS.get(name, (name,)):
        whose = "" if package == name else f"{package}, which it needs here: "
        try:
            import_module(package)
        except ModuleNotFoundError as error:
            if error.name == package:
                return f"{whose}not installed"
            return f"{whose}its import fails: {error}"
        except Exception as error:  # noqa: BLE001 - a broken installation raises anything
            return f"{whose}its import fails: {error}"
    return None


def make(name: str, problem: Problem) -> Contestant | str:
    """Return a peer that computes a row, or why there is none."""
    made: Contestant | str = import_module(f"xpbptt.commands.bench.with_{name}").make(problem)
    return made
