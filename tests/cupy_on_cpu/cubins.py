"""What NVRTC has made of a kernel: its registers, its instructions, and how many blocks fit.

NVIDIA's own tools from PyPI read it; the blocks are counted by NVIDIA's own calculator, a header of
the CUDA runtime. None of them needs a GPU.
"""

import ctypes
import os
import re
import subprocess
import sysconfig
import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

from .build import shared_object

TOOLS = "nvidia/*/bin/cuobjdump"

CALCULATOR = """
#include <climits>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include "cuda_occupancy.h"
extern "C" int blocks(int arch, int shared_of_processor, int shared_on_demand, int registers,
                      int threads, int shared) {
  cudaOccDeviceProp device = {};
  device.computeMajor = arch / 10;
  device.computeMinor = arch % 10;
  device.maxThreadsPerBlock = 1024;
  device.maxThreadsPerMultiprocessor = 2048;
  device.regsPerBlock = device.regsPerMultiprocessor = 65536;
  device.warpSize = 32;
  device.numSms = 1;
  device.sharedMemPerBlock = 49152;
  device.sharedMemPerMultiprocessor = shared_of_processor;
  device.sharedMemPerBlockOptin = shared_on_demand;
  device.reservedSharedMemPerBlock = 1024;
  cudaOccFuncAttributes kernel = {};
  kernel.maxThreadsPerBlock = 1024;
  kernel.numRegs = registers;
  kernel.partitionedGCConfig = PARTITIONED_GC_OFF;
  kernel.shmemLimitConfig = FUNC_SHMEM_LIMIT_OPTIN;
  kernel.maxDynamicSharedSizeBytes = shared_on_demand;
  cudaOccDeviceState state = {};
  state.carveoutConfig = SHAREDMEM_CARVEOUT_DEFAULT;
  cudaOccResult result = {};
  if (cudaOccMaxActiveBlocksPerMultiprocessor(&result, &device, &kernel, &state, threads, shared))
    return -1;
  return result.activeBlocksPerMultiprocessor;
}
"""


class Resources(NamedTuple):
    """What a thread takes: registers, and bytes of memory because there were too few of them."""

    registers: int
    stack: int
    local: int


def resources(cubin: bytes) -> Resources:
    """Return what a thread of the only kernel takes."""
    found = re.search(r"REG:(\d+) STACK:(\d+) .*?LOCAL:(\d+)", _dump("-res-usage", cubin))
    return Resources(*map(int, found.groups()))


def instructions(cubin: bytes) -> str:
    """Return the machine code as text."""
    return _dump("-sass", cubin)


def blocks(
    arch: int, processor: int, on_demand: int, registers: int, threads: int, shared: int
) -> int:
    """Return how many blocks a multiprocessor holds, in bytes of shared memory and registers."""
    return _calculator().blocks(arch, processor, on_demand, registers, threads, shared)


@cache
def _calculator() -> ctypes.CDLL:
    path = shared_object(CALCULATOR, name="occupancy", options=[f"-I{headers()}"])
    return ctypes.CDLL(str(path))


def headers() -> Path:
    """Return the folder of the headers of the CUDA runtime."""
    return next(_packages().glob("nvidia/*/include/cuda_occupancy.h")).parent


def _packages() -> Path:
    return Path(sysconfig.get_paths()["purelib"])


def _dump(option: str, cubin: bytes) -> str:
    tool = next(_packages().glob(TOOLS))
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin + b"\0")  # CuPy takes the last byte for the end of a text
        file.flush()
        path = os.pathsep.join([str(tool.parent), os.environ["PATH"]])
        run = subprocess.run(
            [str(tool), option, file.name],
            capture_output=True, text=True, check=True, env=os.environ | {"PATH": path},
        )  # fmt: skip
    return run.stdout
