"""The public names of the package, read from its source, and the pages of the reference.

A module's public names are those in its ``__all__``; without one, the functions and classes that
it defines under a name without underscore.
"""

import ast
import shutil
from importlib import import_module
from pathlib import Path
from types import ModuleType

import xpbptt

ROOT = Path(xpbptt.__file__).parent

# The heads of the reference, with the rooms whose names in `xpbptt.__all__` stand below them.
GROUPS = {
    "Nets": ("xpbptt.nets",),
    "Cells": ("xpbptt.cells",),
    "Backpropagation and memory": ("xpbptt.bptt",),
    "Losses and optimisers": ("xpbptt.losses", "xpbptt.optim"),
    "Files": ("xpbptt.interop",),
    "The notebook": ("xpbptt.notebook",),
}
OTHER = "More names"
MODULES = (
    "xpbptt.cells",
    "xpbptt.bptt",
    "xpbptt.losses",
    "xpbptt.optim",
    "xpbptt.testing",
    "xpbptt.testing.laws",
    "xpbptt.interop.torch",
    "xpbptt.interop.keras",
    "xpbptt.interop.onnx",
    "xpbptt.interop.rtneural",
    "xpbptt.interop.chainer",
    "xpbptt.interop.dlfs2",
    "xpbptt.interop.layout",
    "xpbptt.bridges.torch",
    "xpbptt.bridges.jax",
    "xpbptt.parallel",
    "xpbptt.plot",
    "xpbptt.backends",
    "xpbptt.notebook",
)


def source(module: str) -> Path:
    """Return the file of a module."""
    path = ROOT.joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def names(module: str) -> list[str]:
    """Return the public names of a module."""
    body = ast.parse(source(module).read_text(encoding="utf-8")).body
    for node in body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    defined = [n.name for n in body if isinstance(n, (ast.FunctionDef, ast.ClassDef))]
    return list(dict.fromkeys(name for name in defined if not name.startswith("_")))


def values(module: str) -> dict[str, str]:
    """Return those of a module's public names that are values, with the names of their types."""
    if module.startswith("xpbptt.bridges."):  # imports a framework, and has functions and classes
        return {}
    found = {name: getattr(import_module(module), name) for name in names(module)}
    return {
        name: type(value).__name__
        for name, value in found.items()
        if not callable(value) and not isinstance(value, ModuleType)
    }


def on_top(module: str, name: str) -> bool:
    """Return whether a module's public name is also in ``xpbptt.__all__``, and is the same."""
    if name not in xpbptt.__all__ or module.startswith("xpbptt.bridges."):
        return False
    return getattr(import_module(module), name) is getattr(xpbptt, name)


def groups() -> dict[str, list[str]]:
    """Return the names of ``xpbptt.__all__`` by the heads of the reference."""
    found: dict[str, list[str]] = {head: [] for head in (*GROUPS, OTHER)}
    for name in xpbptt.__all__:
        home = f"{getattr(getattr(xpbptt, name), '__module__', '')}."
        heads = [
            head
            for head, rooms in GROUPS.items()
            if home.startswith(tuple(f"{room}." for room in rooms))
        ]
        found[(*heads, OTHER)[0]].append(name)
    return {head: group for head, group in found.items() if group}


def reference() -> dict[str, str]:
    """Return the text of the pages of the reference by their names."""
    parts = ["Reference\n=========\n\n.. currentmodule:: xpbptt\n"]
    for head, group in groups().items():
        parts.append(f"{head}\n{'-' * len(head)}\n\n{_table(group)}")
    parts.append("Modules\n-------\n\n.. toctree::\n   :maxdepth: 1\n")
    pages = {}
    for module in MODULES:
        page, kept = module.removeprefix("xpbptt."), values(module)
        left = [
            name
            for name in names(module)
            if name not in kept and f"{module}.{name}" not in MODULES and not on_top(module, name)
        ]
        if not left:
            continue
        parts.append(f"   {page}")
        title = f"{module}\n{'=' * len(module)}\n"
        more = "".join(f"* ``{name}``, a `{kind}`\n" for name, kind in kept.items())
        pages[page] = (
            f"{title}\n.. automodule:: {module}\n   :no-members:\n\n{_table(left)}\n{more}"
        )
    return {"index": "\n".join(parts) + "\n", **pages}


def _table(group: list[str]) -> str:
    lines = "".join(f"   {name}\n" for name in group)
    return f".. autosummary::\n   :toctree: names\n   :nosignatures:\n\n{lines}\n"


def write(folder: Path, pages: dict[str, str]) -> None:
    """Write pages into a folder; one that has not changed stays as it is, and is not read again."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.rst"):
        if path.stem not in pages:
            path.unlink()
    for name, text in pages.items():
        path = folder / f"{name}.rst"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def generate(docs: Path) -> list[str]:
    """Write the reference, and return its files."""
    folder = docs / "generated" / "reference"
    shutil.rmtree(folder / "names", ignore_errors=True)  # autosummary leaves those of old names
    write(folder, reference())
    return [str(path) for path in folder.glob("*.rst")]
