"""What is packed, and with which dependencies, as pyproject.toml says."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def pyproject():
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))


def test_the_pictures_of_the_readme_are_in_the_sdist(pyproject):
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", (ROOT / "README.md").read_text("utf8"))
    included = pyproject["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert pictures
    for picture in pictures:
        assert (ROOT / picture).is_file()
        assert any(f"/{picture}".startswith(f"{each}/") for each in included), picture


def test_each_dependency_has_a_lower_bound_and_tqdm_one_that_is_safe(pyproject):
    found = pyproject["project"]["dependencies"]
    assert all(re.match(r"[a-z-]+>=\d", each) for each in found)
    (tqdm,) = (each for each in found if each.startswith("tqdm"))
    bound = tuple(map(int, tqdm.removeprefix("tqdm>=").split(".")))
    assert bound >= (4, 66, 3)  # CVE-2024-34062
