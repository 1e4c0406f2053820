"""The CUDA runtime: one device, memory, copies, streams and events.

Everything is done at once, in the order of the calls, so a stream or an event is only a number,
but for a stream that is being captured: see `capture`.
Which stream each thing was asked of is counted; what blocks the host goes to the default one, 0.
The functions have the names and arguments of ``cupy_backends.cuda.api.runtime``.
"""

import ctypes
import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

from . import capture, counters
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


_device_memory: list[Memory] = []


def in_device_memory(pointer: int, size: int) -> bool:
    """Tell whether so many bytes from an address on are the device's."""
    return any(memory.holds(pointer, size) for memory in _device_memory)


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
        "deviceSynchronize": _wait_for_device,
        "profilerStart": _nothing,
        "profilerStop": _nothing,
    }


def _wait_for_device() -> None:
    capture.forbid("cudaDeviceSynchronize")
    counters.wait("synchronisations")


def _wait(stream: int = 0) -> None:
    capture.forbid("cudaStreamSynchronize", stream)
    counters.wait("synchronisations")


def _memory(attributes: type, *, exact: bool) -> dict[str, Callable[..., Any]]:
    device, pinned = Memory(exact=exact), Memory(exact=exact)
    _device_memory.append(device)

    def malloc(size: int) -> int:
        counters.add("allocations")
        return device.allocate(size)

    def malloc_async(size: int, stream: int) -> int:
        capture.forbid("cudaMallocAsync, which would be a node of the graph,", stream)
        return malloc(size)

    def free_async(pointer: int, stream: int) -> None:
        capture.forbid("cudaFreeAsync", stream)
        device.free(pointer)

    def memory_type(pointer: int) -> int:
        return DEVICE if pointer in device else HOST if pointer in pinned else UNREGISTERED

    return {
        "memGetInfo": lambda: (80 << 30, 80 << 30),
        "malloc": malloc,
        "mallocAsync": malloc_async,
        "free": device.free,
        "freeAsync": free_async,
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
    run = partial(ctypes.memmove, target, source, size)
    to_host = kind == TO_HOST or (kind == DEFAULT and target not in device)
    if not to_host and kind != TO_DEVICE and not (kind == DEFAULT and source not in device):
        capture.do(stream, "copy", run, partial(counters.add, "on_device", stream))
        return
    if capture.capturing(stream):
        message = "a copy from or to the host in a graph is not in the simulator"
        raise NotImplementedError(message)
    capture.check_legacy(stream)
    counters.wait("to_host" if to_host else "to_device", stream)
    if to_host and blocking:
        counters.wait("synchronisations")
    run()


def _fill(pointer: int, value: int, size: int, stream: int = 0) -> None:
    run = partial(ctypes.memset, pointer, value, size)
    capture.do(stream, "fill", run, partial(counters.add, "fills", stream))


def _streams() -> dict[str, Callable[..., Any]]:
    handles = itertools.count(0x1000, 16)

    def create(*_: object) -> int:
        return next(handles)

    return capture.functions() | {
        "streamGetPriority": lambda _: 0,
        "streamQuery": lambda _: 0,
        "streamSynchronize": _wait,
        "streamWaitEvent": lambda stream, _: capture.forbid("cudaStreamWaitEvent", stream),
        "eventCreate": create,
        "eventCreateWithFlags": create,
        "eventDestroy": _nothing,
        "eventQuery": lambda _: 0,
        "eventRecord": lambda _, stream: capture.forbid("cudaEventRecord", stream),
        "eventSynchronize": lambda _: counters.wait("synchronisations"),
    }
