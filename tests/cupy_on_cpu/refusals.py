"""What CuPy has beside kernels and cuBLAS, and the simulator has not: each refuses by its name.

Without this, the compiled parts of CuPy would call the CUDA runtime that is linked into them,
find no driver, and some of them would return what happens to lie in memory.
"""

import sys
from types import ModuleType
from typing import Any

from .misfit import misfit

LIBRARIES = ("curand", "cusolver", "cusparse")
COMPILED = {
    "cupy.random": ("default_rng", "XORWOW", "MRG32k3a", "Philox4x3210"),
    "cupy.random._generator_api": ("Generator",),
    "cupy.cuda.thrust": ("sort", "argsort", "lexsort"),
    "cupy.cuda.cub": ("device_reduce", "device_segmented_reduce", "device_scan"),
}


class Refused(ModuleType):
    """A module that refuses everything by name."""

    def __getattr__(self, name: str) -> Any:
        """Refuse."""
        if name.startswith("__"):
            raise AttributeError(name)
        raise NotImplementedError(_message(f"{self.__name__}.{name}"))


def install_before() -> None:
    """Put refusals in the place of libraries that would not load; before CuPy is imported."""
    import cupy_backends.cuda.libs as parent  # noqa: PLC0415

    for library in LIBRARIES:
        name = f"{parent.__name__}.{library}"
        sys.modules[name] = Refused(name)
        setattr(parent, library, sys.modules[name])
    sys.modules["cupy.cuda.cufft"] = Refused("cupy.cuda.cufft")


def install_after() -> None:
    """Refuse the functions of CuPy that launch kernels compiled beforehand."""
    import cupy  # noqa: PLC0415
    import cupy.random._generator_api  # noqa: PLC0415

    cupy.cuda.cufft = sys.modules["cupy.cuda.cufft"]
    for name, functions in COMPILED.items():
        for function in functions:
            _replace(sys.modules[name], function)


def _replace(module: ModuleType, name: str) -> None:
    if not hasattr(module, name):
        misfit(f"it has no {module.__name__}.{name}, which the simulator must refuse")

    def refuse(*_: object, **__: object) -> None:
        raise NotImplementedError(_message(f"{module.__name__}.{name}"))

    setattr(module, name, refuse)


def _message(name: str) -> str:
    return f"{name} is not in the simulator of tests/cupy_on_cpu; it needs a GPU"
