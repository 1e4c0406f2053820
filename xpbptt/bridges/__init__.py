"""Layers for the autograd frameworks, around any net: `torch` and `jax`, imported on first use."""

from importlib import import_module
from types import ModuleType

BRIDGES = ("jax", "torch")


def __getattr__(name: str) -> ModuleType:
    """Import a bridge when it is first asked for, and with it the framework."""
    if name not in BRIDGES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return [*globals(), *BRIDGES]
