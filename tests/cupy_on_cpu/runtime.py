"""The CUDA runtime: one device, memory, copies, streams and events.

Everything is done at once, in the order of the calls, so a stream or an event is only a number.
Which stream each thing was asked of is counted; what blocks the host goes to the default one, 0.
The functions have the names and arguments of ``cupy_backends.cuda.api.runtime``.
"""

import ctypes
import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

from . import counters
from .memory import Memory

TO_DEVICE, TO_HOST, DEFAULT = 1, 2, 4  # cudaMemcpyKind
UNREGISTERED, HOST, DEVICE = 0, 1, 2  # cudaMemoryType
VERSION = 13000

# An H200, as far as CuPy asks.
ATTRIBUTES = {
    1: 1024,  # threads per block
    2: 1024,  # block sizes
    3: 1024,
    4: 64,
    5: 2**31 - 1,  # grid sizes
    6: 65535,
    7: 65535,
    8: 49152,  # shared memory per block
    9: 65536,  # constant memory
    10: 32,  # threads per warp
    12: 65536,  # registers per block
    13: 1980000,  # clock rate in kHz
    16: 132,  # multiprocessors
    39: 2048,  # threads per multiprocessor
    75: 9,  # compute capability
    76: 0,
    81: 233472,  # shared memory per multiprocessor
    82: 65536,  # registers per multiprocessor
    88: 0,  # whether the device reads the host's pageable memory
    95: 1,  # whether kernels are launched co-operatively
    97: 232448,  # shared memory per block, on demand
}
capturing: set[int] = set()  # the streams that a test says are being captured
PROPERTIES = {
    "name": b"the CPU, in the role of a GPU",
    "major": 9,
    "minor": 0,
    "warpSize": 32,
    "multiProcessorCount": 132,
    "maxThreadsPerBlock": 1024,
    "maxThreadsPerMultiProcessor": 2048,
    "maxThreadsDim": (1024, 1024, 64),
    "maxGridSize": (2**31 - 1, 65535, 65535),
    "regsPerBlock": 65536,
    "sharedMemPerBlock": 49152,
    "sharedMemPerBlockOptin": 232448,
    "totalGlobalMem": 80 << 30,
}


def functions(attributes: type, *, exact: bool) -> dict[str, Callable[..., Any]]:
    """Return the functions of the runtime by name.

    Parameters
    ----------
    attributes : type
        CuPy's class ``PointerAttributes``.
    exact : bool
        Whether blocks of memory have exactly the size that was asked for.
    """
    return _plain() | _memory(attributes, exact=exact) | _streams()


def _nothing(*_: object) -> None:
    return None


def _only_device(device: int) -> None:
    if device != 0:
        message = f"device {device} of a simulator that has only device 0"
        raise NotImplementedError(message)


def _plain() -> dict[str, Callable[..., Any]]:
    return {
        "_ensure_context": _nothing,
        "driverGetVersion": lambda: VERSION,
        "runtimeGetVersion": lambda: VERSION,
        "getDevice": lambda: 0,
        "setDevice": _only_device,
        "getDeviceCount": lambda: 1,
        "getDeviceProperties": lambda _: dict(PROPERTIES),
        "deviceGetAttribute": lambda attribute, _: ATTRIBUTES.get(attribute, 0),
        "deviceGetPCIBusId": lambda _: "0000:00:00.0",
        "deviceCanAccessPeer": lambda _, __: 0,
        "deviceSynchronize": _wait,
        "profilerStart": _nothing,
        "profilerStop": _nothing,
    }


def _wait(*_: object) -> None:
    counters.wait("synchronisations")


def _memory(attributes: type, *, exact: bool) -> dict[str, Callable[..., Any]]:
    device, pinned = Memory(exact=exact), Memory(exact=exact)

    def malloc(size: int, *_: object) -> int:
        counters.add("allocations")
        return device.allocate(size)

    def memory_type(pointer: int) -> int:
        return DEVICE if pointer in device else HOST if pointer in pinned else UNREGISTERED

    return {
        "memGetInfo": lambda: (80 << 30, 80 << 30),
        "malloc": malloc,
        "mallocAsync": malloc,
        "free": device.free,
        "freeAsync": lambda pointer, _: device.free(pointer),
        "hostAlloc": lambda size, _: pinned.allocate(size),
        "freeHost": pinned.free,
        "memcpy": partial(_copy, device, blocking=True),
        "memcpyAsync": partial(_copy, device, blocking=False),
        "memset": _fill,
        "memsetAsync": _fill,
        "pointerGetMemoryType": memory_type,
        "pointerGetAttributes": lambda pointer: attributes(
            0, pointer, pointer, memory_type(pointer)
        ),
    }


def _copy(
    device: Memory,
    target: int,
    source: int,
    size: int,
    kind: int,
    stream: int = 0,
    *,
    blocking: bool,
) -> None:
    to_host = kind == TO_HOST or (kind == DEFAULT and target not in device)
    if to_host:
        counters.wait("to_host", stream)
        if blocking:
            _wait()
    elif kind == TO_DEVICE or (kind == DEFAULT and source not in device):
        counters.wait("to_device", stream)
    else:
        counters.add("on_device", stream)
    ctypes.memmove(target, source, size)


def _fill(pointer: int, value: int, size: int, stream: int = 0) -> None:
    counters.add("fills", stream)
    ctypes.memset(pointer, value, size)


def _streams() -> dict[str, Callable[..., Any]]:
    handles = itertools.count(0x1000, 16)

    def create(*_: object) -> int:
        return next(handles)

    return {
        "streamCreate": create,
        "streamCreateWithFlags": create,
        "streamCreateWithPriority": create,
        "streamDestroy": _nothing,
        "streamGetFlags": lambda _: 0,
        "streamGetPriority": lambda _: 0,
        "streamIsCapturing": lambda stream: int(stream in capturing),
        "streamQuery": lambda _: 0,
        "streamSynchronize": _wait,
        "streamWaitEvent": _nothing,
        "eventCreate": create,
        "eventCreateWithFlags": create,
        "eventDestroy": _nothing,
        "eventQuery": lambda _: 0,
        "eventRecord": _nothing,
        "eventSynchronize": _wait,
    }
