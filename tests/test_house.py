"""The house: which part of the package may import which. Imports are read, not run."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import xpbptt

ROOT = Path(xpbptt.__file__).parent

# From the top down: a room imports those below it and itself only. A file or a folder in the list
# is a room with all that lies in it, apart from what is listed itself.
ROOMS = (
    ("__main__",),
    ("commands/main", "commands/parser"),
    ("commands/selftest", "commands/bench", "commands/train"),
    ("commands",),  # `commands/base`, and the file that makes it a package
    ("__init__",),
    ("testing",),
    ("interop", "bridges", "plot", "parallel"),
    ("nets",),
    ("nets/calls",),
    ("nets/stack",),
    ("bptt",),  # `bptt/loop` and `bptt/cost`, and the file that names what is public
    ("bptt/engines",),
    ("bptt/layers",),
    ("bptt/strategies",),
    ("kernels/llvm", "kernels/cuda"),
    ("kernels",),
    ("cells",),
    ("notebook", "losses", "optim", "backends"),
    ("_arrays",),
)


def files() -> dict[str, Path]:
    """Return every file by its name in the package, as ``nets/net``."""
    return {str(path.relative_to(ROOT).with_suffix("")): path for path in ROOT.rglob("*.py")}


def modules(tree: ast.AST, name: str) -> Iterator[str]:
    """Yield what the file `name` imports, anywhere in it, as ``xpbptt.nets.net``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports(sources: dict[str, str]) -> set[tuple[str, str]]:
    """Return the pairs of files of which the first imports the second."""
    found = set()
    for name, source in sources.items():
        for module in modules(ast.parse(source), name):
            package, *parts = module.split(".")
            if package != "xpbptt":
                continue
            # `from a import b` is the file a/b, or what the file a has under that name
            places = ("/".join(parts[:end]) for end in (len(parts), len(parts) - 1))
            names = (each for place in places for each in (place, f"{place}/__init__".lstrip("/")))
            found.add((name, next(each for each in names if each in sources)))
    return {(one, other) for one, other in found if one != other}


def room(name: str) -> tuple[int, str]:
    """Return the storey of a file in `ROOMS` and the room that it is in."""
    rooms = [(storey, each) for storey, level in enumerate(ROOMS) for each in level]
    fitting = [(s, each) for s, each in rooms if name == each or name.startswith(f"{each}/")]
    assert fitting, f"{name} is in no room"
    return max(fitting, key=lambda found: len(found[1]))


def circles(arrows: set[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the arrows that lie on a circle."""
    after: dict[str, set[str]] = {}
    for one, other in arrows:
        after.setdefault(one, set()).add(other)

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            for other in after.get(waiting.pop(), ()):
                if other not in seen:
                    seen.add(other)
                    waiting.append(other)
        return seen

    return sorted((one, other) for one, other in arrows if one in reached(other))


def folder(name: str) -> str:
    """Return the folder of a file; a file that is a room of its own stands for itself."""
    above = name.rpartition("/")[0]
    listed = {each for level in ROOMS for each in level}
    return name if name in listed or not above else above


def between(arrows: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return the arrows between folders."""
    found = {(folder(one), folder(other)) for one, other in arrows}
    return {(one, other) for one, other in found if one != other}


def upwards(arrows: set[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the imports of a room by one below it."""
    rooms = {name: room(name) for arrow in arrows for name in arrow}
    return sorted((one, other) for one, other in arrows if rooms[one][0] > rooms[other][0])


@pytest.fixture(scope="module")
def arrows() -> set[tuple[str, str]]:
    return imports({name: path.read_text("utf8") for name, path in files().items()})


def said(found: list[tuple[str, str]]) -> list[str]:
    return [f"{one} imports {other}" for one, other in found]


def test_no_file_imports_one_that_leads_back_to_it(arrows):
    assert not said(circles(arrows))


def test_no_folder_imports_one_that_leads_back_to_it(arrows):
    assert not said(circles(between(arrows)))


def test_rooms_import_those_below_only(arrows):
    assert not said(upwards(arrows))


def test_a_planted_circle_is_named():
    """Also one that is hidden: for the type checker only, or inside a function."""
    sources = {
        "nets/a": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import xpbptt.nets.b",
        "nets/b": "def f():\n    from xpbptt.nets import a",
        "optim": "from xpbptt.nets.a import Net",
        "nets/linear": "from xpbptt.optim import sgd",
    }
    found = imports(sources)
    assert said(circles(found)) == ["nets/a imports nets/b", "nets/b imports nets/a"]
    assert said(upwards(found)) == ["optim imports nets/a"]
    assert said(circles(between(found))) == ["nets imports optim", "optim imports nets"]


def test_nothing_is_underscored_in_the_root_but_the_arrays():
    names = {path.stem for path in ROOT.iterdir() if path.stem.startswith("_")}
    assert names - {"__init__", "__main__", "__pycache__"} == {"_arrays"}
