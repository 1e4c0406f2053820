"""Options that several commands have."""

import argparse
import math
from collections.abc import Callable
from typing import Any

from xpbptt import backends


def add_backend(command: argparse.ArgumentParser) -> None:
    """Add the option that chooses the array library."""
    about = f"the array library (default: ${backends.VARIABLE}, or numpy)"
    command.add_argument("--backend", choices=backends.NAMES, help=about)


def number(kind: type, least: float, *, above: bool = False) -> Callable[[str], Any]:
    """Return a function that reads a number of at least, or above, `least`."""
    what = "an integer" if kind is int else "a number"
    expected = f"{what} {'above' if above else 'of at least'} {least}"

    def read(word: str) -> Any:
        try:
            value = kind(word)
        except ValueError:
            value = math.nan
        if not -math.inf < value < math.inf or value < least or (above and value == least):
            message = f"must be {expected}, got {word!r}"
            raise argparse.ArgumentTypeError(message)
        return value

    return read


def numbers(kind: type, least: float) -> Callable[[str], list[Any]]:
    """Return a function that reads numbers of at least `least`, with commas between them."""
    read = number(kind, least)

    def read_all(words: str) -> list[Any]:
        return [read(word) for word in words.split(",")]

    return read_all
