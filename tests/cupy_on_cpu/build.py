"""Build shared objects with g++, once: they are kept in a folder, named by all they depend on.

``CUPY_ON_CPU_CACHE`` names the folder; the default is ``cupy-on-cpu`` in the user's cache.
``CUPY_ON_CPU_SANITIZE=1`` builds for AddressSanitizer, whose library must be loaded before
Python is: ``LD_PRELOAD=$(g++ -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0``.
``CXX`` names another compiler that takes the options of g++.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

FLAGS = (
    "-std=c++17",
    "-O1",  # most of the time goes into compiling
    "-fPIC",
    "-w",
    "-fwrapv",  # integers wrap, as on a GPU
    "-fno-strict-aliasing",
    "-ffp-contract=off",
)
SANITIZE = ("-fsanitize=address", "-g")


class CompileError(Exception):
    """What the compiler said."""


def folder() -> Path:
    """Return the folder that builds are kept in, made if it is not there."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cupy-on-cpu"
    path = Path(os.environ.get("CUPY_ON_CPU_CACHE") or default)
    path.mkdir(parents=True, exist_ok=True)
    return path


def sanitizing() -> bool:
    """Return whether to build for AddressSanitizer."""
    return os.environ.get("CUPY_ON_CPU_SANITIZE") == "1"


@cache
def compiler() -> str:
    """Return the path of the compiler."""
    name = os.environ.get("CXX") or "g++"
    path = shutil.which(name)
    if path is None:
        message = f"the simulator of CuPy compiles its kernels with {name}, which is not installed"
        raise RuntimeError(message)
    return path


def shared_object(
    code: str, *, name: str, options: Sequence[str] = (), header: Path | None = None
) -> Path:
    """Build C++ code, or find it built.

    Parameters
    ----------
    code : str
        The code.
    name : str
        The beginning of the file's name, for people who look into the folder.
    options : sequence of str
        Options of the compiler beside the usual ones.
    header : Path, optional
        A header to include first, from `precompiled_header`.

    Returns
    -------
    Path
        The shared object.
    """
    options = ("-shared", *options, *(("-include", str(header)) if header else ()))
    target = folder() / f"{name[:60]}-{_key(code, options)}.so"
    if not target.exists():
        _build(target, code, options, language="c++")
    return target


def precompiled_header(code: str, options: Sequence[str]) -> Path:
    """Precompile a header, or find it precompiled; return what to include."""
    header = folder() / f"header-{_key(code, options)}" / "prelude.hpp"
    target = header.with_suffix(".hpp.gch")
    if not target.exists():
        header.parent.mkdir(exist_ok=True)
        _write(header, code.encode())
        _build(target, code, options, language="c++-header")
    return header


def key(*parts: str) -> str:
    """Return a name for what depends on all of the parts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def kept(name: str, make: Callable[[], bytes]) -> bytes:
    """Return the content of a file of the folder, made if it is not there."""
    path = folder() / name
    if not path.exists():
        _write(path, make())
    return path.read_bytes()


def _flags() -> tuple[str, ...]:
    return FLAGS + (SANITIZE if sanitizing() else ())


def _key(code: str, options: Sequence[str]) -> str:
    return key(code, *options, *_flags(), *_identity())


@cache
def _identity() -> tuple[str, str]:
    command = [compiler(), "-dumpfullversion", "-dumpmachine"]
    version = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return compiler(), version


def _build(target: Path, code: str, options: Sequence[str], *, language: str) -> None:
    """Build beside the target, then move: another process may be building the same."""
    with tempfile.TemporaryDirectory(dir=folder()) as work:
        source, made = Path(work) / "code.cpp", Path(work) / "made"
        source.write_text(code)
        command = [compiler(), *_flags(), *options, "-x", language, str(source), "-o", str(made)]
        plain = os.environ | {"LC_ALL": "C"}
        run = subprocess.run(command, capture_output=True, text=True, check=False, env=plain)
        if run.returncode:
            raise CompileError(run.stderr)
        made.replace(target)


def _write(target: Path, content: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
        file.write(content)
    Path(file.name).replace(target)
