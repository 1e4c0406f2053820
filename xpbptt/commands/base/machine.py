"""What the times were measured on and with."""

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import array_api_compat
import numpy as np

import xpbptt
from xpbptt import kernels
from xpbptt.commands.base.threads import counts

SLOWING = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


def describe(
    backend: str, threads: int | None, arguments: Sequence[str], *, xp: Any
) -> dict[str, Any]:
    """Return the head of the report."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "xpbptt": xpbptt.__version__,
        "command": " ".join(["python -m xpbptt", *arguments]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "backend": backend,
        "device": _gpu() if backend == "cupy" else str(array_api_compat.device(xp.ones(1))),
        "threads": threads,
        "threads_fixed": threads is not None and set(counts()) <= {threads},
        "machine": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "blas": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
        "warnings": [*warnings(os.environ), *_not_compiled(backend)],
    }


_PACKAGES = (
    "numpy", "array-api-compat", "array-api-strict", "llvmlite",
    "cupy", "cupy-cuda12x", "cupy-cuda13x", "torch", "jax", "jaxlib",
    "onnx", "onnxruntime",
)  # fmt: skip


def warnings(environ: Mapping[str, str]) -> list[str]:
    """Say what in the environment makes the times other than they would be elsewhere.

    Examples
    --------
    >>> warnings({"OPENBLAS_CORETYPE": "Haswell"})[0].partition(":")[0]
    'OPENBLAS_CORETYPE=Haswell is set'
    """
    lines = [
        f"{name}={environ[name]} is set: it may slow NumPy's products down; unset "
        f"{' and '.join(SLOWING)} for this command"
        for name in SLOWING
        if environ.get(name)
    ]
    if environ.get("CUPY_TF32", "0") != "0":
        lines.append("CUPY_TF32 is set: CuPy's float32 products have factors of 10 bits")
    return lines


def _not_compiled(backend: str) -> list[str]:
    """Say why the cells are not compiled where they could be."""
    if os.environ.get(kernels.VARIABLE) == "0":
        return [f"{kernels.VARIABLE}=0 is set: the cells are not compiled but run eagerly"]
    if backend == "numpy" and find_spec("llvmlite") is None:
        how = "python -m pip install llvmlite"
        return [f"llvmlite is not installed: the cells are not compiled but run eagerly: {how}"]
    return []


def _cpu() -> str:
    """Return the name of the processor."""
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _gpu() -> str:
    """Return the name of CuPy's current device, and the versions of what runs it."""
    cuda = import_module("cupy").cuda
    found = cuda.runtime.getDeviceProperties(cuda.Device().id)
    capability = f"compute capability {found['major']}.{found['minor']}"
    driver, runtime = (
        f"{version // 1000}.{version % 1000 // 10}"
        for version in (cuda.runtime.driverGetVersion(), cuda.runtime.runtimeGetVersion())
    )
    versions = f"driver for CUDA {driver}, runtime {runtime}, NVRTC {_nvrtc(cuda)}"
    return f"{found['name'].decode()}, {capability}; {versions}"


def _nvrtc(cuda: Any) -> str:
    """Return the version of what compiles CuPy's kernels, found only where there is one to load."""
    try:
        return ".".join(map(str, cuda.nvrtc.getVersion()))
    except (ImportError, OSError, RuntimeError) as error:
        return f"unknown ({type(error).__name__})"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
