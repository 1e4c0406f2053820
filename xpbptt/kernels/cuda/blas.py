"""cuBLAS through a handle of our own, whose products can be captured into a graph.

CuPy's binding raises on a stream that is captured (cupy issue 6290) and cannot give a handle a
workspace, for which cuBLAS would then allocate during the capture. So the library that CuPy has
loaded is called by ctypes. It has been called on a simulator only, on no GPU.
"""

import ctypes
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import cupy

from xpbptt.kernels.cuda.product import Caller

WORKSPACE = 32 << 20  # bytes; what cuBLAS takes for itself from compute capability 9.0 on
POINTER, INT = ctypes.c_void_p, ctypes.c_int
MATRIX = (POINTER, INT, INT)  # its address, type and leading dimension
SIGNATURES = {
    "cublasCreate_v2": (POINTER,),
    "cublasSetStream_v2": (POINTER, POINTER),
    "cublasSetWorkspace_v2": (POINTER, POINTER, ctypes.c_size_t),
    "cublasGemmEx": (
        *(POINTER, INT, INT, INT, INT, INT, POINTER),  # handle, operations, sizes, alpha
        *(*MATRIX, *MATRIX, POINTER, *MATRIX, INT, INT),  # beta before C; types, algorithm
    ),
}


class Recorder(NamedTuple):
    """What the graphs of a device have in common.

    Attributes
    ----------
    stream : cupy.cuda.Stream
        The stream that is captured.
    caller : Caller
        The handle, whose products go to that stream.
    workspace : MemoryPointer
        What the products work in.
    done : cupy.cuda.Event
        The end of the last use. The graphs share a workspace, and each has buffers of its own, so
        one runs after the other, on whatever streams they are launched.
    """

    stream: Any
    caller: Caller
    workspace: Any
    done: Any


@lru_cache
def recorder(device: int) -> Recorder:  # noqa: ARG001 - the current one; there is one for each
    """Make the recorder of the current device."""
    call, handle = _library(), ctypes.c_void_p()
    stream = cupy.cuda.Stream(non_blocking=True)
    workspace = memory(WORKSPACE)
    call("cublasCreate_v2")(ctypes.addressof(handle))
    call("cublasSetStream_v2")(handle, stream.ptr)
    call("cublasSetWorkspace_v2")(handle, workspace.ptr, WORKSPACE)  # the stream has taken it away
    caller = Caller(call("cublasGemmEx"), handle.value or 0)
    return Recorder(stream, caller, workspace, cupy.cuda.Event(disable_timing=True))


def memory(size: int) -> Any:
    """Return memory of the device that no allocator gives to others while it is held."""
    return cupy.cuda.MemoryPointer(cupy.cuda.Memory(size), 0)


@lru_cache
def _library() -> Callable[[str], Any]:
    """Load cuBLAS; return what finds its functions, which raise where cuBLAS returns an error."""
    from cuda import pathfinder  # noqa: PLC0415 - CuPy requires it, other builds of it may not

    check: Any = _check
    library = ctypes.CDLL(pathfinder.load_nvidia_dynamic_lib("cublas").abs_path)

    def find(name: str) -> Any:
        function = library[name]
        function.argtypes, function.restype = SIGNATURES[name], INT
        function.errcheck = check
        return function

    return find


def _check(status: int, function: Any, _: tuple[Any, ...]) -> None:
    if status:
        message = f"{function.__name__} returned the status {status}"
        raise RuntimeError(message)
