"""Compile kernels for real GPUs with NVRTC, which needs no device.

``CUPY_ON_CPU_CUBIN=80,90,100`` does so with every kernel that is built for the CPU.
"""

import os
from collections.abc import Sequence

from .build import kept, key
from .counters import Kernel

ARCHITECTURES = (80, 90, 100)


def cubin(source: str, options: Sequence[str], arch: int, expressions: Sequence[str] = ()) -> bytes:
    """Compile CUDA C++ as CuPy does.

    Parameters
    ----------
    source : str
        The source, as CuPy hands it to NVRTC: ``count.kernels`` of `counting` has it.
    options : sequence of str
        The options, likewise.
    arch : int
        The GPU's compute capability without the dot, as 90 for sm_90.
    expressions : sequence of str
        The instances of templates that are asked for.

    Returns
    -------
    bytes
        The machine code.

    Raises
    ------
    cupy.cuda.compiler.CompileException
        If NVRTC refuses it, with what NVRTC said.
    """
    from cupy.cuda import compiler  # noqa: PLC0415

    added = ("-ftz=true", "--device-as-default-execution-space", f"-arch=sm_{arch}")
    program = compiler._NVRTCProgram(
        source, "kernel.cu", name_expressions=tuple(expressions), method="cubin"
    )
    code, _ = program.compile((*options, *added))
    return code


def asked_architectures() -> list[int]:
    """Return the architectures that the environment asks every kernel to be compiled for."""
    return [int(arch) for arch in os.environ.get("CUPY_ON_CPU_CUBIN", "").split(",") if arch]


def kept_cubin(kernel: Kernel, arch: int) -> bytes:
    """Compile a launched kernel, or find it compiled."""
    from cupy_backends.cuda.libs import nvrtc  # noqa: PLC0415

    name = key(*kernel.all(), str(arch), str(nvrtc.getVersion()))
    return kept(
        f"{name}.cubin", lambda: cubin(kernel.source, kernel.options, arch, kernel.expressions)
    )
