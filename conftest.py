"""What all tests share: the array libraries they run on, and the examples in the documents.

``pytest --backend torch --backend jax`` runs the tests that take `xp` on those libraries, and is
an error where one of them is not usable. Without the option they run on every library for the
CPU that is installed. Which libraries there are, and why one is not usable, is asked of
``xpbptt.backends``. One name is known here only: ``cupy-on-cpu`` is CuPy without a GPU, on the
simulator in tests/cupy_on_cpu.
"""

from doctest import ELLIPSIS, NORMALIZE_WHITESPACE
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from zlib import crc32

import hypothesis
import pytest
import sybil.parsers.markdown
import sybil.parsers.rest

from xpbptt import backends

SIMULATED = "cupy-on-cpu"
CHOSEN = pytest.StashKey[tuple[str, ...]]()

# The libraries for the CPU, with the modules that tell whether they are installed.
ON_CPU = {
    "numpy": "numpy",
    "array-api-strict": "array_api_strict",
    "torch": "torch",
    "jax": "jax",
}

# The first call on an array library may compile or import for seconds.
hypothesis.settings.register_profile("xpbptt", hypothesis.settings.default, deadline=None)
hypothesis.settings.load_profile("xpbptt")

FLAGS = ELLIPSIS | NORMALIZE_WHITESPACE

pytest_collect_file = (
    sybil.Sybil(
        [
            sybil.parsers.markdown.PythonCodeBlockParser(doctest_optionflags=FLAGS),
            sybil.parsers.markdown.SkipParser(),
        ],
        patterns=["README.md", "docs/*.md", "docs/cookbook/*.md"],
    )
    + sybil.Sybil(
        [sybil.parsers.rest.DocTestParser(FLAGS), sybil.parsers.rest.SkipParser()],
        path="xpbptt",
        pattern="*.py",
    )
).pytest()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that chooses the array libraries."""
    parser.addoption(
        "--backend",
        action="append",
        metavar="NAME",
        help="run the tests on this array library, one of "
        f"{', '.join((*backends.NAMES, SIMULATED))}; may be repeated "
        "(default: every library for the CPU that is installed)",
    )
    parser.addoption(
        "--share",
        type=int,
        default=1,
        metavar="N",
        help="of the tests that run once on each library run one in N, the same ones each time",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a library that was asked for and is not usable: a skip would look like a pass."""
    asked = config.getoption("--backend")
    installed = [name for name, module in ON_CPU.items() if find_spec(module)]
    config.stash[CHOSEN] = tuple(dict.fromkeys(asked or installed))
    if {"cupy", SIMULATED} <= {*config.stash[CHOSEN]}:
        message = f"--backend cupy and --backend {SIMULATED} cannot be had in one process"
        raise pytest.UsageError(message)
    for name in asked or ():
        try:
            load(name)
        except (ValueError, ImportError, RuntimeError) as error:
            message = f"--backend {name}: {error}"
            raise pytest.UsageError(message) from error


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is the same on every library, unless NumPy is chosen, and what is not asked.

    A share of the tests follows from their names.
    """
    functions = [item for item in items if isinstance(item, pytest.Function)]
    share, left_out = config.getoption("--share"), set()
    for item in functions:
        needs = set(item.fixturenames)
        same = not {"xp", "torch", "jax", "simulator"} & needs
        unasked = "xp" in needs and "jax" not in needs and crc32(item.nodeid.encode()) % share
        if (same and "numpy" not in config.stash[CHOSEN]) or unasked:
            left_out.add(item)
    config.hook.pytest_deselected(items=[item for item in items if item in left_out])
    items[:] = [item for item in items if item not in left_out]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes `xp` once on each chosen library."""
    if "xp" in metafunc.fixturenames:
        names = metafunc.config.stash[CHOSEN]
        metafunc.parametrize("xp", names, indirect=True, scope="session")


def load(name: str) -> Any:
    """Return the namespace of a library, set to what the tests need of it."""
    if name == SIMULATED:
        import_module("cupy_on_cpu").install()
        return backends.load("cupy")
    xp = backends.load(name)
    if name == "jax":
        config = import_module("jax").config
        config.update("jax_enable_x64", val=True)  # the tests compare in float64
    if name == "array-api-strict":
        xp.set_array_api_strict_flags(
            api_version="2023.12",
            boolean_indexing=False,
            data_dependent_shapes=False,
            enabled_extensions=(),
        )
    return xp


@pytest.fixture(scope="session")
def xp(request: pytest.FixtureRequest) -> Any:
    """Return the standard namespace of an array library; the test runs once on each."""
    return load(request.param)


@pytest.fixture(scope="session")
def torch() -> Any:
    """Return the module torch, to compare with ``torch.nn``, or skip where it is not installed."""
    reason = 'compares with torch.nn, and torch is not installed: nox -s "tests(torch)" runs it'
    return pytest.importorskip("torch", reason=reason)


@pytest.fixture(scope="session")
def jax() -> Any:
    """Return the module jax, for what no other library has, or skip where it is not installed."""
    reason = 'is about jax, which is not installed: nox -s "tests(jax)" runs it'
    module = pytest.importorskip("jax", reason=reason)
    load("jax")
    return module
