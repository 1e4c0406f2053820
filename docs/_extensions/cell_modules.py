"""The modules of ``xpbptt.cells`` that define cells, and what their docstrings say."""

import ast
import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from public import ROOT

import xpbptt

REFERENCES = "References\n----------\n"
P = 8  # the width that a cell is made with
NUMBERS = {"int": P, "float": 0.5}  # for each number that a cell is made with


class Page(NamedTuple):
    """A module with cells.

    Attributes
    ----------
    name : str
        The name of the module.
    cells : dict
        Its cells, by the names that they have there.
    """

    name: str
    cells: dict[str, Any]

    @property
    def module(self) -> Any:
        """The module."""
        return import_module(f"xpbptt.cells.{self.name}")

    @property
    def title(self) -> str:
        """The names of the nets."""
        return ", ".join(cell.name for cell in self.cells.values())

    @property
    def words(self) -> str:
        """The module's docstring without its references."""
        return inspect.cleandoc(self.module.__doc__ or "").partition(REFERENCES)[0]

    @property
    def references(self) -> str:
        """The references of the module's docstring."""
        return inspect.cleandoc(self.module.__doc__ or "").partition(REFERENCES)[2] + "\n"

    @property
    def summary(self) -> str:
        """The first line of the module's docstring."""
        return (self.module.__doc__ or "").strip().partition("\n")[0]


def found() -> list[Page]:
    """Return the modules of ``xpbptt.cells`` with cells, those of elementwise maths first."""
    kinds = (xpbptt.Cell, xpbptt.Recurrence)
    pages, seen = [], set()
    for kind in kinds:
        for path in sorted((ROOT / "cells").glob("[!_]*.py")):
            cells = {}
            for name, cell in _cells(path):
                if isinstance(cell, kind) and cell.name not in seen:
                    cells[name] = cell
                    seen.add(cell.name)
            if cells:
                pages.append(Page(path.stem, cells))
    return pages


def _cells(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the values that a module gives names to, and examples of the cells that it makes."""
    module = import_module(f"xpbptt.cells.{path.stem}")
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign):
            name = ast.unparse(node.targets[0])
            yield name, getattr(module, name, None)
        elif isinstance(node, ast.FunctionDef) and node.name.startswith("make_"):
            kinds = [ast.unparse(each.annotation) for each in node.args.args if each.annotation]
            yield node.name, getattr(module, node.name)(*(NUMBERS[kind] for kind in kinds))


def makers(page: Page) -> list[str]:
    """Return the public functions that make a net of a module's cells."""
    names = []
    for name in xpbptt.__all__:
        function = getattr(xpbptt, name)
        if inspect.isfunction(function):
            used = inspect.getclosurevars(function).globals.values()
            if any(each is page.module or each in page.cells.values() for each in used):
                names.append(name)
    return names
