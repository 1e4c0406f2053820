"""From assembly language to a function: compiled once."""

from typing import Any

from xpbptt.kernels.llvm.machine import Library, compiled
from xpbptt.kernels.target import Run

NAME = "run"  # of the function that Python calls


def load(text: str, *arguments: Any) -> Run:
    """Return the function of a module; its only argument is an address, if no types are given."""
    return Library(compiled(text)).function(NAME, *arguments)
