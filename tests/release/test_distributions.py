"""What the built distributions contain; ``nox -s build`` builds them and says where they are."""

import os
import re
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import xpbptt

ROOT = Path(__file__).parents[2]
FOLDER = os.environ.get("XPBPTT_DISTRIBUTIONS")
needs_distributions = pytest.mark.skipif(
    FOLDER is None, reason="needs built distributions: nox -s build builds them"
)


def sources(*folders):
    """Return the files of the checkout in some folders, without what is built."""
    left_out = {"__pycache__", "generated", "_build", ".mypy_cache", ".ruff_cache"}
    paths = (path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file())
    return {
        path.relative_to(ROOT).as_posix()
        for path in paths
        if not left_out & set(path.parts) and path.suffix != ".pyc"
    }


@pytest.fixture
def wheel():
    (path,) = Path(FOLDER).glob("*.whl")
    assert path.name == f"xpbptt-{xpbptt.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(path) as file:
        yield file


@pytest.fixture
def sdist():
    (path,) = Path(FOLDER).glob("*.tar.gz")
    assert path.name == f"xpbptt-{xpbptt.__version__}.tar.gz"
    with tarfile.open(path) as file:
        yield file


@needs_distributions
def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    own = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert own == sources("xpbptt")
    assert "xpbptt/py.typed" in own
    beside = {name.partition(".dist-info/")[2] for name in set(wheel.namelist()) - own}
    assert beside == {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}


@needs_distributions
def test_the_wheel_says_what_pyproject_says(wheel):
    (name,) = (each for each in wheel.namelist() if each.endswith(".dist-info/METADATA"))
    metadata = Parser().parsestr(wheel.read(name).decode())
    assert metadata["Version"] == xpbptt.__version__
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload().startswith("# xpbptt")
    extras = set(metadata.get_all("Provides-Extra"))
    assert {"cuda12", "cuda13", "docs", "mpi", "onnx", "plot"} <= extras


@needs_distributions
def test_the_sdist_holds_what_builds_tests_and_documents(sdist):
    found = {name.partition("/")[2] for name in sdist.getnames()}
    files = {"CHANGELOG.md", "CITATION.cff", "LICENSE", "README.md", "conftest.py", "noxfile.py"}
    made = {"PKG-INFO", "pyproject.toml", ".gitignore"}
    assert found == sources("xpbptt", "tests", "docs", ".images") | files | made


def test_the_version_stands_in_one_place():
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+)?", xpbptt.__version__)
    places = ["pyproject.toml", "CITATION.cff", "docs/conf.py", "noxfile.py", "README.md"]
    for place in places:
        text = (ROOT / place).read_text(encoding="utf-8")
        assert f'"{xpbptt.__version__}"' not in text, place
        assert "\nversion: " not in text, place
    assert sum(
        f'= "{xpbptt.__version__}"' in path.read_text(encoding="utf-8")
        for path in (ROOT / "xpbptt").rglob("*.py")
    ) == 1  # fmt: skip


def test_the_changelog_has_the_version_with_its_date():
    heads = re.findall("^## (.+)$", (ROOT / "CHANGELOG.md").read_text("utf8"), re.MULTILINE)
    assert heads[0] == "Unreleased"
    versions = [re.fullmatch(r"(\d+\.\d+\.\d+) - (\d{4}-\d\d-\d\d)", each) for each in heads[1:]]
    assert all(versions), heads
    assert [each[2] for each in versions] == sorted((each[2] for each in versions), reverse=True)
    version, development, _ = xpbptt.__version__.partition(".dev")
    assert (versions[0][1] == version) == (not development)
