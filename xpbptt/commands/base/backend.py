"""The array library that a command names."""

from importlib import import_module
from typing import Any

from xpbptt import backends
from xpbptt.commands.base.errors import UserError


def load_backend(name: str | None, *, wide: bool = False) -> tuple[Any, str]:
    """Return the namespace of an array library, or of the default one, and its name.

    With `wide` JAX computes in float64, too. Raises UserError if it is not usable.
    """
    try:
        name = name or backends.default()
        xp = backends.load(name)
    except (ValueError, ImportError, RuntimeError) as error:
        raise UserError(str(error)) from error
    if wide and name == "jax":
        import_module("jax").config.update("jax_enable_x64", val=True)
    return xp, name
