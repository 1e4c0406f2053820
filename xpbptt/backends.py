"""The array libraries by name: which namespace a name stands for, and what is usable here.

A *backend* is an array library under the name that the command line, the tests and the
environment variable ``XPBPTT_BACKEND`` know it by: ``numpy``, ``cupy``, ``torch``, ``jax`` or
``array-api-strict``. Its *standard namespace* is the module with the functions of the Array API
standard for its arrays; the library's own module is not always that.

Importing this module imports none of the libraries: each one is imported when it is asked for.
"""

import os
from importlib import import_module
from types import ModuleType
from typing import NamedTuple

import array_api_compat

from xpbptt._arrays.types import AnyArray, Namespace

VARIABLE = "XPBPTT_BACKEND"


class Backend(NamedTuple):
    """What is known of one array library on this machine.

    Attributes
    ----------
    name : str
        The name that `load` takes.
    version : str or None
        The version of the library; None if it cannot be imported.
    device : str or None
        Where the library puts an array unless told otherwise, as ``cpu`` or ``cuda:0``; None if
        it has no device.
    usable : bool
        Whether one small array could be allocated just now.
    reason : str
        Why the library is not usable; empty if it is.
    """

    name: str
    version: str | None
    device: str | None
    usable: bool
    reason: str


class _Library(NamedTuple):
    namespace: str  # the module that is the standard namespace
    module: str  # the library's own module
    install: str  # what pip is told to install
    needs: str  # what an allocation requires


_LIBRARIES = {
    "numpy": _Library("array_api_compat.numpy", "numpy", "numpy", "memory"),
    "cupy": _Library(
        "array_api_compat.cupy",
        "cupy",
        '".[cuda12]" in a checkout of xpbptt (".[cuda13]" where the driver supports CUDA 13)',
        "an NVIDIA GPU, its driver and the CUDA libraries",
    ),
    "torch": _Library("array_api_compat.torch", "torch", "torch", "its default device"),
    "jax": _Library("jax.numpy", "jax", "jax", "a device of the platform it is set to"),
    "array-api-strict": _Library(
        "array_api_strict", "array_api_strict", "array-api-strict", "memory"
    ),
}

NAMES = tuple(_LIBRARIES)

# The device types of the DLPack protocol, which every library reports in the same way.
_DEVICE_TYPES = {1: "cpu", 2: "cuda", 8: "metal", 10: "rocm"}


def load(name: str) -> ModuleType:
    """Return the standard namespace of an array library that is usable here.

    Parameters
    ----------
    name : str
        ``numpy``, ``cupy``, ``torch``, ``jax`` or ``array-api-strict``.

    Returns
    -------
    namespace
        The module with the functions of the Array API standard, the same one that
        ``array_api_compat.array_namespace`` finds for the library's arrays.

    Raises
    ------
    ValueError
        If there is no backend of that name.
    ImportError
        If the library is not installed, or its import fails.
    RuntimeError
        If no array can be allocated, as with CuPy on a machine without a GPU.

    Examples
    --------
    >>> xp = load("numpy")
    >>> xp.ones(3) / 2
    array([0.5, 0.5, 0.5])
    """
    xp = _import(_known(name, "name"))
    _allocate(name, xp)
    return xp


def available() -> tuple[Backend, ...]:
    """Describe every array library: version, device, and whether it is usable or why not.

    Returns
    -------
    tuple of Backend
        One for each name, in a fixed order. A library that is missing or broken is described
        too. Finding out imports every library that is installed.

    Examples
    --------
    >>> [backend.name for backend in available()]
    ['numpy', 'cupy', 'torch', 'jax', 'array-api-strict']
    >>> available()[0].usable
    True
    """
    return tuple(_describe(name) for name in NAMES)


def default() -> str:
    """Return the name of the backend to use where none is asked for.

    Returns
    -------
    str
        The value of the environment variable ``XPBPTT_BACKEND``; ``numpy`` if it is not set or
        empty. `load` checks whether that library is usable.

    Raises
    ------
    ValueError
        If the variable names no backend.

    Examples
    --------
    >>> default() in [backend.name for backend in available()]
    True
    """
    return _known(os.environ.get(VARIABLE) or "numpy", VARIABLE)


def table() -> str:
    """Return what `available` finds as a text table, one line for each library.

    Examples
    --------
    >>> print(table().splitlines()[0])  # doctest: +NORMALIZE_WHITESPACE
    backend version device usable
    """
    rows = [("backend", "version", "device", "usable")]
    for backend in available():
        usable = "yes" if backend.usable else f"no: {backend.reason}"
        rows.append((backend.name, backend.version or "-", backend.device or "-", usable))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def _known(name: str, argument: str) -> str:
    if name in NAMES:
        return name
    message = f"`{argument}` is {name!r}, expected one of: {', '.join(NAMES)}"
    raise ValueError(message)


def _import(name: str) -> ModuleType:
    library = _LIBRARIES[name]
    try:
        import_module(library.module)
        return import_module(library.namespace)
    except Exception as error:  # a broken installation raises anything
        if isinstance(error, ModuleNotFoundError) and error.name == library.module:
            message = f"{name} is not installed: python -m pip install {library.install}"
        else:
            message = f"{name} is installed, but its import fails: {_brief(error)}"
        raise ImportError(message, name=library.module) from error


def _allocate(name: str, xp: Namespace) -> AnyArray:
    try:
        return xp.ones(1)
    except Exception as error:  # each library has exceptions of its own for a missing device
        needs = _LIBRARIES[name].needs
        message = f"{name} could not allocate an array; it needs {needs}: {_brief(error)}"
        raise RuntimeError(message) from error


def _describe(name: str) -> Backend:
    try:
        xp = _import(name)
    except ImportError as error:
        return Backend(name, None, None, usable=False, reason=str(error))
    version = getattr(import_module(_LIBRARIES[name].module), "__version__", "unknown")
    try:
        array = _allocate(name, xp)
    except RuntimeError as error:
        return Backend(name, version, None, usable=False, reason=str(error))
    return Backend(name, version, _device(array), usable=True, reason="")


def _device(array: AnyArray) -> str:
    kind, index = array.__dlpack_device__()
    if kind not in _DEVICE_TYPES:
        return str(array_api_compat.device(array))
    return "cpu" if kind == 1 else f"{_DEVICE_TYPES[kind]}:{index}"


def _brief(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"
