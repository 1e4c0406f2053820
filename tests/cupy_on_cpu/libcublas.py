"""The library libcublas itself, for callers that do without CuPy's binding: a shared object.

Its functions have the names and C types of cuBLAS and call Python. A handle has a stream and a
workspace; products on a captured stream are recorded, and refused without a workspace, for which
cuBLAS would allocate. They return a status, and what went wrong is kept in `errors`.
"""

import ctypes
import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

from . import capture, counters, cublas
from .build import shared_object
from .misfit import misfit
from .runtime import in_device_memory

POINTER, INT, SIZE = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t
C_TYPES = {POINTER: "void*", INT: "int", SIZE: "unsigned long"}
MATRIX = (POINTER, INT, INT)  # address, type, leading dimension
FUNCTIONS = {
    "cublasCreate_v2": (POINTER,),
    "cublasSetStream_v2": (POINTER, POINTER),
    "cublasSetWorkspace_v2": (POINTER, POINTER, SIZE),
    "cublasGemmEx": (
        *(POINTER, INT, INT, INT, INT, INT, POINTER),
        *(*MATRIX, *MATRIX, POINTER, *MATRIX, INT, INT),
    ),
}
NOT_INITIALIZED, ALLOC_FAILED, INVALID_VALUE, INTERNAL_ERROR = 1, 3, 7, 14  # cublasStatus_t
ALIGNMENT = 256  # of a workspace

errors: list[Exception] = []
_handles = itertools.count(0x2000, 16)
_streams: dict[int, int] = {}
_workspaces: dict[int, int] = {}
_called: list[Any] = []  # what C calls must not be collected


class Refusal(Exception):  # noqa: N818 - a status, not an error of Python
    """A call that returns this status."""


def path() -> str:
    """Build the library and connect it with this module; return its path."""
    built = shared_object("\n".join(map(_exported, FUNCTIONS)), name="libcublas")
    library = ctypes.CDLL(str(built))
    for name, types in FUNCTIONS.items():
        function = ctypes.CFUNCTYPE(INT, *types)(partial(_status, globals()[f"_{name}"]))
        _called.append(function)
        slot = POINTER.in_dll(library, f"slot_{name}")
        slot.value = ctypes.cast(function, POINTER).value
    return str(built)


def _exported(name: str) -> str:
    types = [C_TYPES[each] for each in FUNCTIONS[name]]
    taken = ", ".join(f"{each} a{k}" for k, each in enumerate(types))
    passed = ", ".join(f"a{k}" for k in range(len(types)))
    return (
        f'extern "C" {{ int (*slot_{name})({", ".join(types)}); }}\n'
        f'extern "C" int {name}({taken}) {{ return slot_{name}({passed}); }}'
    )


def _status(function: Callable[..., None], *given: Any) -> int:
    try:
        function(*given)
    except Refusal as refusal:
        status: int = refusal.args[0]
        return status
    except Exception as error:  # noqa: BLE001 - nothing passes through C
        errors.append(error)
        return INTERNAL_ERROR
    return 0


def _cublasCreate_v2(place: int) -> None:
    handle = next(_handles)
    _streams[handle] = 0
    ctypes.c_void_p.from_address(place).value = handle


def _cublasSetStream_v2(handle: int, stream: int | None) -> None:
    if handle not in _streams:
        raise Refusal(NOT_INITIALIZED)
    _streams[handle] = stream or 0
    _workspaces.pop(handle, None)  # cuBLAS goes back to its own


def _cublasSetWorkspace_v2(handle: int, pointer: int, size: int) -> None:
    if handle not in _streams:
        raise Refusal(NOT_INITIALIZED)
    if pointer % ALIGNMENT or not in_device_memory(pointer, size):
        raise Refusal(INVALID_VALUE)
    _workspaces[handle] = size


def _cublasGemmEx(handle: int, *given: Any) -> None:
    if handle not in _streams:
        raise Refusal(NOT_INITIALIZED)
    stream = _streams[handle]
    if capture.capturing(stream) and handle not in _workspaces:
        raise Refusal(ALLOC_FAILED)
    *given, _algorithm = given
    run = partial(cublas.multiply, *cublas.arguments(*given))
    capture.do(stream, "product", run, partial(counters.add, "products", stream))


def install() -> None:
    """Have CUDA's pathfinder find this library."""
    from cuda import pathfinder  # noqa: PLC0415

    for name in ("load_nvidia_dynamic_lib", "LoadedDL"):
        if not hasattr(pathfinder, name):
            misfit(f"it comes with a cuda.pathfinder that has no {name}")
    real, found = pathfinder.load_nvidia_dynamic_lib, path()

    def load(name: str) -> Any:
        if name != "cublas":
            return real(name)
        return pathfinder.LoadedDL(
            abs_path=found,
            was_already_loaded_from_elsewhere=False,
            _handle_uint=0,
            found_via="cupy_on_cpu",
        )

    pathfinder.load_nvidia_dynamic_lib = load
