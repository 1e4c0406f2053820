"""From assembly language to a function: compiled once, and found on disk the next time."""

from typing import Any

from xpbptt.kernels.llvm import disk
from xpbptt.kernels.llvm.machine import Library, compiled, processor
from xpbptt.kernels.target import Run

NAME = "run"  # of the function that Python calls


def load(text: str, *arguments: Any) -> Run:
    """Return the function of a module; its only argument is an address, if no types are given."""
    name = disk.key(processor(), text)
    code = disk.read(name)
    if code is None:
        code = compiled(text)
        disk.write(name, code)
    return Library(code).function(NAME, *arguments)
