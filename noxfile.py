#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.11"
# dependencies = ["nox>=2025.5.1"]
# ///
"""The checks of the project, each in an environment of its own.

``nox`` runs the quick ones; ``nox --list`` names them all; ``nox -s "tests(torch)"`` runs one.
What follows ``--`` goes to pytest: ``nox -s "tests(numpy)" -- -k lstm``; to the fuzz where it is
run: ``nox -s fuzz -- --seconds 600``.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
# Not uv: it does not see the local files that pip is configured to find, and takes torch's build
# for CUDA where pip takes the one for the CPU.
nox.options.default_venv_backend = "virtualenv"
nox.options.error_on_external_run = True
nox.options.error_on_missing_interpreters = False  # `pythons` runs on those that are there
nox.options.tags = ["quick"]

PYPROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PYPROJECT, max_version="3.14")
BACKENDS = [
    nox.param("numpy", id="numpy", tags=["quick"]),
    nox.param("array-api-strict", id="array-api-strict", tags=["quick"]),
    nox.param("torch", id="torch"),
    nox.param("jax", id="jax"),
    nox.param("cupy", id="cupy"),
    nox.param("cupy-on-cpu", id="cupy-on-cpu"),
]

# Of the tests that run once on each library one in so many is run, always the same ones: JAX
# and the simulator of CuPy compile most of what a test computes anew, a second and more, and
# array-api-strict is slow; the last two run on NumPy what `tests(numpy)` runs in whole.
# `nox -s "tests(jax)" -- --share 1` runs all.
SHARES = {"array-api-strict": 4, "jax": 6, "cupy-on-cpu": 12, "eager": 4, "minimums": 4}
# Most of the time that a test takes on JAX goes into compiling for each shape. Here what runs once
# is not optimised, and is kept, however small it is: later runs take half as long.
QUICKLY_COMPILED = {
    "XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
# In a process each: the session `commands` runs them, and the quick one does not.
COMMANDS = ("tests/commands", "tests/mutants")

# Prints why no array can be allocated; a library that is not to be imported is an error.
NO_DEVICE = """
from xpbptt import backends
try:
    backends.load("cupy")
except RuntimeError as error:
    print(error)
"""


def skip_without_gpu(session: nox.Session) -> None:
    """Skip the session where CuPy has no GPU, and say why."""
    # With stderr left where it is, a warning is not taken for the reason.
    reason = session.run("python", "-c", NO_DEVICE, silent=True, stderr=None)
    if reason:
        session.skip(str(reason).strip())


def install(session: nox.Session, *groups: str, options: Sequence[str] = ()) -> None:
    """Install the package and groups of dependencies in one go, so that versions fit together."""
    session.install(".", *nox.project.dependency_groups(PYPROJECT, *groups), *options)


def share(session: str) -> tuple[str, str]:
    """Return the options of pytest for the share of the tests that a session runs."""
    return "--share", str(SHARES.get(session, 1))


@nox.session
@nox.parametrize("backend", BACKENDS)
def tests(session: nox.Session, backend: str) -> None:
    """Run the tests on one array library; where it has no device, say so and skip."""
    install(session, "test", backend)
    if backend == "cupy":
        skip_without_gpu(session)
    # The others are short, or on a device that cannot be shared.
    workers = ["-n", "2"] if backend in {"numpy", "array-api-strict", "jax"} else []
    options = [*share(backend)]
    if backend == "numpy":
        options += [f"--ignore={folder}" for folder in COMMANDS]
    env = {}
    if backend == "jax":
        env = {
            "JAX_COMPILATION_CACHE_DIR": str((session.cache_dir / "jax").resolve()),
            **QUICKLY_COMPILED,
        }
    command = "pytest", "tests", "--backend", backend, *workers, *options
    session.run(*command, *session.posargs, env=env)


@nox.session
def commands(session: nox.Session) -> None:
    """Run the tests of the command line and of what judges mutants, in processes of their own."""
    install(session, "test")
    session.run("pytest", *COMMANDS, "--backend", "numpy", "-n", "2", *session.posargs)


@nox.session
def gpu(session: nox.Session) -> None:
    """Check everything on a GPU and print a report to paste; without a GPU, say so and skip."""
    install(session, "test", "cupy")
    skip_without_gpu(session)
    selftest = ["selftest", "--backend", "cupy", "--suite", "tests"]
    session.run("python", "-m", "xpbptt", *selftest, *session.posargs)


@nox.session
def eager(session: nox.Session) -> None:
    """Run the tests on NumPy without llvmlite, where nothing is compiled."""
    install(session, "test", "numpy")
    session.run("python", "-m", "pip", "uninstall", "--yes", "llvmlite")
    session.run("pytest", "tests", "--backend", "numpy", *share("eager"), *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Compare compiled runs with eager ones on random cases, for a minute from a fresh seed."""
    install(session, "test")
    session.run("python", "-m", "fuzz", *session.posargs, env={"PYTHONPATH": "tests"})


@nox.session
def mutants(session: nox.Session) -> None:
    """Plant one defect after the other into a copy; the test that stands against it must fail."""
    install(session, "test", "torch")  # some of those tests compare with torch
    one_thread = {"OMP_NUM_THREADS": "1", "PYTHONPATH": "tests"}
    session.run("python", "-m", "mutants", *session.posargs, env=one_thread)


@nox.session
def peers(session: nox.Session) -> None:
    """Run what needs Keras, onnxruntime or MPI: weights and times of others, many processes."""
    install(session, "test", "torch", "peers")
    folders = ("tests/interop", "tests/parallel", "tests/commands/bench", "docs/cookbook")
    session.run("pytest", *folders, "--backend", "numpy", *session.posargs)


@nox.session
def mlx(session: nox.Session) -> None:
    """Run every public call on mlx, whose slices are copies; it is not supported otherwise."""
    install(session, "test", "mlx")
    session.run("pytest", "tests/stand_ins/test_mlx.py", "--backend", "numpy", *session.posargs)


@nox.session(tags=["quick"])
def lint(session: nox.Session) -> None:
    """Check style and format."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of the package, and what they tell a user's program."""
    install(session, "types", "test")
    session.run("mypy")
    session.run("pytest", "tests/typed", "--backend", "numpy", *session.posargs)


@nox.session
def doctest(session: nox.Session) -> None:
    """Run the examples of the README, of the pages in docs/ and of the docstrings."""
    install(session, "test")
    session.run("pytest", "README.md", "docs", "xpbptt", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the pages, run the course and the gallery; a warning or a dead link is an error."""
    session.install(".[docs]")
    shutil.rmtree("docs/generated", ignore_errors=True)  # pages of what has gone are warnings
    folder = Path(session.posargs[0] if session.posargs else "docs/_build")
    shutil.rmtree(folder, ignore_errors=True)
    one_thread = {"OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    options = ("--fail-on-warning", "--keep-going", "--nitpicky", "--quiet")
    session.run("sphinx-build", *options, "docs", str(folder), env=one_thread)
    session.log(f"open {(folder / 'index.html').resolve()}")


@nox.session
def bench(session: nox.Session) -> None:
    """Time every row beside the other libraries: ``nox -s bench -- --quick``."""
    install(session, "torch", "jax", "onnxruntime")
    session.run("python", "-m", "xpbptt", "bench", *session.posargs)


@nox.session
def minimums(session: nox.Session) -> None:
    """Run the tests with the lowest versions of the dependencies that pyproject.toml admits."""
    lowest = [name.replace(">=", "==") for name in PYPROJECT["project"]["dependencies"]]
    # A version without a wheel for this Python is an error at once, not an hour of compiling.
    install(session, "test", options=["--only-binary=numpy,safetensors,llvmlite", *lowest])
    session.run("python", "-m", "pip", "freeze", "--all")
    session.run("pytest", "tests", "--backend", "numpy", *share("minimums"), *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """Build the distributions, check them, and use the installed wheel away from the sources.

    ``nox -s build -- dist`` keeps them in an empty folder, for a release.
    """
    if session.posargs:
        folder = Path(session.posargs[0]).resolve()
    else:
        folder = Path(session.create_tmp()) / "dist"
        shutil.rmtree(folder, ignore_errors=True)
    if folder.is_dir() and [*folder.iterdir()]:
        session.error(f"{folder} is not empty: a release is built into an empty folder")
    session.install(*nox.project.dependency_groups(PYPROJECT, "release", "test"))
    session.run("cffconvert", "--validate")
    session.run("python", "-m", "build", "--outdir", str(folder))
    (wheel,) = folder.glob("*.whl")
    session.run("twine", "check", "--strict", *map(str, folder.iterdir()))
    session.install(str(wheel))
    where = {"XPBPTT_DISTRIBUTIONS": str(folder)}
    session.run("pytest", "tests/release", "--backend", "numpy", env=where)
    session.chdir(folder)
    session.run("python", "-c", "import xpbptt; print(xpbptt.__version__, xpbptt.__file__)")
    session.run("xpbptt", "backends")


@nox.session(python=PYTHONS)
def pythons(session: nox.Session) -> None:
    """Run the tests on NumPy with every Python that is supported and found."""
    install(session, "test", "numpy")
    session.run("pytest", "tests", "--backend", "numpy", *session.posargs)


if __name__ == "__main__":
    nox.main()
