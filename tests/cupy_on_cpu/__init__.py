"""Run the unmodified CuPy on the CPU: see README.md in this folder.

>>> import cupy_on_cpu
>>> cupy_on_cpu.install()  # before CuPy is imported
>>> import cupy
"""

import os
import sys

from . import build, canaries, capsules, compiler, cublas, driver, libcublas, refusals, runtime
from .counters import Count, Kernel, counting
from .driver import Hang
from .nvrtc import ARCHITECTURES, cubin
from .orders import ORDERS, order

__all__ = [
    "ARCHITECTURES",
    "Count",
    "Hang",
    "Kernel",
    "ORDERS",
    "counting",
    "cubin",
    "install",
    "installed",
    "order",
]

_installed = False


def installed() -> bool:
    """Return whether CuPy runs on the CPU in this process."""
    return _installed


def install() -> None:
    """Replace CUDA under CuPy, in this process and for good.

    Raises
    ------
    RuntimeError
        If CuPy was imported before, if there is no compiler, or if this version of CuPy has not
        the internals that the simulator replaces; the message says which.
    ImportError
        If CuPy is not installed.
    """
    global _installed  # noqa: PLW0603
    if _installed:
        return
    if "cupy" in sys.modules:
        message = "cupy_on_cpu.install() comes too late: CuPy is imported already"
        raise RuntimeError(message)
    build.compiler()
    os.environ["CUPY_ACCELERATORS"] = ""  # not CUB, whose kernels come compiled
    import cupy_backends.cuda.api.driver as cuda_driver  # noqa: PLC0415
    import cupy_backends.cuda.api.runtime as cuda_runtime  # noqa: PLC0415

    exact = build.sanitizing()
    functions = runtime.functions(cuda_runtime.PointerAttributes, exact=exact)
    capsules.replace(cuda_runtime, functions)
    simulated = driver.Driver(compiler.kernel_of, compiler.can_run_at_once)
    capsules.replace(cuda_driver, simulated.functions())
    cublas.install()
    libcublas.install()
    refusals.install_before()
    import cupy.cuda.compiler  # noqa: PLC0415

    canaries.check_compiler()
    refusals.install_after()
    cupy.cuda.compiler._compile_module_with_cache = compiler.compile_module
    cupy.cuda.set_allocator(None)  # no pool: every array gets fresh memory
    canaries.check()
    _installed = True
