"""What the simulator leans on inside CuPy, looked at before anything runs.

Each check raises a sentence that names what a new version of CuPy has changed. The exported C
functions are looked at where they are replaced, in capsules.py, and what is refused in refusals.py.
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .counters import counting
from .misfit import misfit


def check_compiler() -> None:
    """Look at the functions of ``cupy.cuda.compiler`` before one is replaced."""
    from cupy.cuda import compiler, function  # noqa: PLC0415

    _takes(compiler, "_compile_module_with_cache", "source", "options", "name_expressions")
    _takes(compiler, "_NVRTCProgram", "src", "name", "name_expressions", "method")
    _takes(compiler, "CompileException", "msg", "source", "name", "options", "backend")
    for name in ("load", "_set_mapping"):
        if not hasattr(function.Module, name):
            misfit(f"cupy.cuda.function.Module has no {name}")


def check() -> None:
    """Let CuPy do one thing of each kind and see that the simulator was asked to do it."""
    check_headers()
    check_memory()
    check_kernels()
    check_products()


def check_headers() -> None:
    """Look for the headers that prelude.hpp includes."""
    from cupy._core import core  # noqa: PLC0415

    folder = Path(core._get_header_dir_path()) / "cupy"
    for name in ("carray.cuh", "complex.cuh", "atomics.cuh", "float16.cuh", "math_constants.h"):
        if not (folder / name).is_file():
            misfit(f"it has no header cupy/{name}")


def check_memory() -> None:
    """See that memory and copies come from the simulator, and that memory starts as NaN."""
    import cupy  # noqa: PLC0415

    with counting() as count:
        array = cupy.empty(3, dtype=cupy.float32)
        host = array.get()
    _ask(count.allocations == 1, "an array does not take its memory from cudaMalloc")
    _ask(count.to_host == 1, "`get` does not copy with cudaMemcpyAsync")
    _ask(bool(np.isnan(host).all()), "fresh memory is not what cudaMalloc gave")


def check_kernels() -> None:
    """See that elementwise kernels and reductions are compiled and launched here."""
    import cupy  # noqa: PLC0415

    array = cupy.asarray(np.arange(5, dtype=np.float32))
    _runs("an elementwise kernel", lambda: array + 1, np.arange(1.0, 6.0), launches=1)
    _runs("a reduction", lambda: cupy.sum(array), np.asarray(10.0), launches=1)


def check_products() -> None:
    """See that matrices are multiplied here."""
    import cupy  # noqa: PLC0415

    array = cupy.asarray(np.eye(2, dtype=np.float32))
    _runs("a product of matrices", lambda: array @ array, np.eye(2), products=1)


def _takes(module: object, name: str, *parameters: str) -> None:
    function = getattr(module, name, None)
    if function is None:
        misfit(f"it has no cupy.cuda.compiler.{name}")
    taken = inspect.signature(function).parameters
    if missing := [parameter for parameter in parameters if parameter not in taken]:
        misfit(f"cupy.cuda.compiler.{name} takes no {', '.join(missing)}")


def _runs(what: str, run: Callable[[], Any], expected: np.ndarray, **counts: int) -> None:
    with counting() as count:
        result = run().get()
    found = {"launches": count.launches.total(), "products": count.products}
    _ask(
        found == {"launches": 0, "products": 0} | counts,
        f"{what} makes {found['launches']} launches and {found['products']} products",
    )
    _ask(np.array_equal(result, expected), f"{what} gives {result}, expected {expected}")


def _ask(holds: bool, otherwise: str) -> None:  # noqa: FBT001
    if not holds:
        misfit(otherwise)
