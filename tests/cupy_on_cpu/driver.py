"""The CUDA driver: a module is a shared object built by g++, a launch calls a function of it."""

import ctypes
import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from . import capture, counters
from .counters import Kernel
from .runtime import ATTRIBUTES

MAX_THREADS, MAX_BLOCK, MAX_GRID = 1, (2, 3, 4), (5, 6, 7)  # cudaDeviceAttr
MAX_SHARED, MAX_SHARED_ON_DEMAND = 8, 97
PROCESSORS, THREADS, SHARED_OF_PROCESSOR, REGISTERS_OF_PROCESSOR = 16, 39, 81, 82
LOCAL_SIZE, REGISTERS = 3, 4  # CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES, CU_FUNC_ATTRIBUTE_NUM_REGS
DYNAMIC_SHARED = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES

INSTANCE = "instance_"  # the name of an instance of a template, with its number

Size3 = ctypes.c_uint * 3


class Hang(RuntimeError):  # noqa: N818 - the word for it
    """Threads wait for what never comes; a GPU would stand still."""


# What the compiler of a GPU would decide, as the driver tells it: registers, and bytes of spills.
compiled = {REGISTERS: 128, LOCAL_SIZE: 0}


class Module(NamedTuple):
    """A loaded module and where it came from."""

    library: ctypes.PyDLL  # holds the lock of the interpreter: the indices of a thread are global
    kernel: Kernel


class Function:
    """A kernel of a module, and how much shared memory it may ask for."""

    def __init__(self, name: str, module: Module) -> None:
        self.name = name
        self.kernel = module.kernel
        self.max_shared = ATTRIBUTES[MAX_SHARED]
        self.launch = getattr(module.library, f"launch_{name}")
        self.launch.restype = ctypes.c_bool
        self.launch.argtypes = [Size3, Size3, ctypes.c_uint, ctypes.c_size_t, ctypes.c_void_p]
        measure = getattr(module.library, f"sizes_{name}")
        self.sizes = (ctypes.c_size_t * measure(None))()
        measure(self.sizes)

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], at_once: int, shared: int, values: int
    ) -> None:
        """Run the blocks, so many at once."""
        if not self.launch(Size3(*grid), Size3(*block), at_once, shared, values):
            message = f"{self.name} hangs: no thread gets on"
            raise Hang(message)

    def bound(
        self, grid: tuple[int, ...], block: tuple[int, ...], at_once: int, shared: int, values: int
    ) -> Callable[[], None]:
        """Return a launch with copies of the arguments."""
        pointers = (ctypes.c_void_p * len(self.sizes)).from_address(values)
        copies = [
            ctypes.create_string_buffer(ctypes.string_at(pointer, size), size)
            for pointer, size in zip(pointers, self.sizes, strict=True)
        ]

        def run() -> None:
            addresses = (ctypes.c_void_p * len(copies))(*map(ctypes.addressof, copies))
            self(grid, block, at_once, shared, ctypes.addressof(addresses))

        return run


class Driver:
    """Modules and functions by their handles, and what is done with them.

    Parameters
    ----------
    kernel_of : callable
        From the path of a shared object to the source it was built of.
    can_run_at_once : callable
        Whether several blocks of a kernel may run at once.
    """

    def __init__(
        self, kernel_of: Callable[[str], Kernel], can_run_at_once: Callable[[Kernel], bool]
    ) -> None:
        self.kernel_of, self.can_run_at_once = kernel_of, can_run_at_once
        self.handles = itertools.count(0x1000, 16)
        self.modules: dict[int, Module] = {}
        self.loaded: dict[int, Function] = {}

    def load(self, image: bytes) -> int:
        """Load what was built."""
        path = image.decode()
        if not Path(path).is_file():
            message = "moduleLoadData of a binary: the simulator builds kernels from source only"
            raise NotImplementedError(message)
        handle = next(self.handles)
        self.modules[handle] = Module(ctypes.PyDLL(path), self.kernel_of(path))
        return handle

    def get_function(self, module: int, name: str) -> int:
        """Return a kernel of a module."""
        library = self.modules[module].library
        mangled = not (name.startswith(INSTANCE) or hasattr(library, name))
        if mangled or not hasattr(library, f"launch_{name}"):
            message = f'CUDA_ERROR_NOT_FOUND: no kernel {name!r}; is it declared extern "C"?'
            raise RuntimeError(message)
        handle = next(self.handles)
        self.loaded[handle] = Function(name, self.modules[module])
        return handle

    def launch(self, handle: int, *rest: int) -> None:
        """Run a kernel, a block after the other."""
        function = self.loaded[handle]
        grid, block, shared, (stream, arguments, _extra) = rest[:3], rest[3:6], rest[6], rest[7:]
        _check(function, grid, block, shared)
        self._do(function, stream, (grid, block, 1, shared, arguments))

    def launch_cooperative(self, handle: int, *rest: int) -> None:
        """Run all blocks of a kernel at once."""
        function = self.loaded[handle]
        grid, block, shared, (stream, arguments) = rest[:3], rest[3:6], rest[6], rest[7:]
        _check(function, grid, block, shared)
        blocks = grid[0] * grid[1] * grid[2]
        resident = self.occupancy(handle, block[0] * block[1] * block[2], shared)
        if blocks > resident * ATTRIBUTES[PROCESSORS]:
            message = f"CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE: {function.name}, a grid {grid}"
            raise RuntimeError(message)
        if not self.can_run_at_once(function.kernel):
            message = f"{function.name} has static shared memory: in the simulator only dynamic one"
            raise NotImplementedError(message)
        if not capture.capturing(stream):
            counters.add("cooperative")
        self._do(function, stream, (grid, block, blocks, shared, arguments))

    def _do(self, function: Function, stream: int, given: tuple[Any, ...]) -> None:
        """Launch a kernel, or record its launch."""
        captured = capture.capturing(stream)
        run = function.bound(*given) if captured else partial(function, *given)
        count = partial(counters.launch, function.name, function.kernel, stream)
        capture.do(stream, function.name, run, count)

    def occupancy(self, handle: int, threads: int, shared: int) -> int:
        """Return how many blocks a multiprocessor holds."""
        if shared > self.loaded[handle].max_shared:
            return 0
        registers = -(-compiled[REGISTERS] // 8) * 8 * 32 * -(-threads // 32)
        return min(
            ATTRIBUTES[THREADS] // threads,
            ATTRIBUTES[REGISTERS_OF_PROCESSOR] // registers,
            ATTRIBUTES[SHARED_OF_PROCESSOR] // (shared + 1024),
        )

    def get_attribute(self, attribute: int, handle: int) -> int:
        """Return an attribute of a kernel; of most, 0."""
        largest = {DYNAMIC_SHARED: self.loaded[handle].max_shared}
        return (compiled | largest | {0: ATTRIBUTES[MAX_THREADS]}).get(attribute, 0)

    def set_attribute(self, handle: int, attribute: int, value: int) -> None:
        """Set an attribute of a kernel."""
        if attribute == DYNAMIC_SHARED:
            if value > ATTRIBUTES[MAX_SHARED_ON_DEMAND]:
                message = f"CUDA_ERROR_INVALID_VALUE: {value} bytes of shared memory"
                raise RuntimeError(message)
            self.loaded[handle].max_shared = max(value, ATTRIBUTES[MAX_SHARED])

    def functions(self) -> dict[str, Callable[..., Any]]:
        """Return the functions of the driver by name."""
        return {
            "ctxGetCurrent": lambda: 1,
            "ctxGetDevice": lambda: 0,
            "moduleLoadData": self.load,
            "moduleUnload": lambda _: None,  # a shared object stays
            "moduleGetFunction": self.get_function,
            "launchKernel": self.launch,
            "launchCooperativeKernel": self.launch_cooperative,
            "occupancyMaxActiveBlocksPerMultiprocessor": self.occupancy,
            "funcGetAttribute": self.get_attribute,
            "funcSetAttribute": self.set_attribute,
        }


def _check(function: Function, grid: tuple[int, ...], block: tuple[int, ...], shared: int) -> None:
    """Refuse what the driver refuses: too many threads, blocks or bytes."""
    threads = block[0] * block[1] * block[2]
    fits = (
        threads <= ATTRIBUTES[MAX_THREADS]
        and all(size <= ATTRIBUTES[key] for size, key in zip(block, MAX_BLOCK, strict=True))
        and all(size <= ATTRIBUTES[key] for size, key in zip(grid, MAX_GRID, strict=True))
        and shared <= function.max_shared
    )
    if not fits:
        message = (
            f"CUDA_ERROR_INVALID_VALUE: {function.name} launched with a grid {grid}, a block "
            f"{block} and {shared} bytes of dynamic shared memory"
        )
        raise RuntimeError(message)
