"""From CUDA C++ to a function for the CPU: the source that CuPy gives to NVRTC, built by g++."""

import ctypes
import re
from functools import cache
from pathlib import Path

from .build import CompileError, precompiled_header, shared_object
from .counters import Kernel
from .driver import INSTANCE
from .nvrtc import asked_architectures, kept_cubin

CUDA = Path(__file__).parent / "cuda"

KERNEL = re.compile(r"__global__\s+void\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?(\w+)\s*\(")
TEMPLATE = re.compile(r"template\s*<[^;{}]*?>\s*$")
DYNAMIC_SHARED = re.compile(r"extern\s+__shared__\s+([\w\s:<>]+?)\s*\b(\w+)\s*\[\s*\]\s*;")
STATIC_SHARED = re.compile(r"(?<!extern)\s__shared__\s")
WAITS = re.compile(r"__syncthreads|__syncwarp|__shfl_|__nanosleep|cupy_on_cpu_mma")
PTX = re.compile(
    r'asm\s+volatile\s*\(((?:\s*"[^"]*")+)\s*:([^:;]*):([^:;]*?)(?::\s*"memory"\s*)?\)\s*;'
)
OPERAND = re.compile(r'"[^"]*"\s*\(([^()]*)\)')
INSTRUCTIONS = {  # what C++ makes of an instruction, given its operands
    "ld.acquire.gpu.global.u32 %0, [%1];": "{0} = cupy_on_cpu_aligned({1});",
    "red.release.gpu.global.add.u32 [%0], 1;": "++*({0});",
    "ld.relaxed.gpu.global.u16 %0, [%1];": (
        "{0} = cupy_on_cpu_aligned(reinterpret_cast<const unsigned short*>({1}));"
    ),
    "ld.relaxed.gpu.global.v2.u32 {%0, %1}, [%2];": (
        "{{ const uint2 got = cupy_on_cpu_aligned(reinterpret_cast<const uint2*>({2})); "
        "{0} = got.x; {1} = got.y; }}"
    ),
    "ld.relaxed.gpu.global.f32 %0, [%1];": "{0} = cupy_on_cpu_aligned({1});",
    "ld.relaxed.gpu.global.f64 %0, [%1];": "{0} = cupy_on_cpu_aligned({1});",
    "ld.relaxed.gpu.global.v4.f32 {%0, %1, %2, %3}, [%4];": (
        "{{ const float4 got = cupy_on_cpu_aligned(reinterpret_cast<const float4*>({4})); "
        "{0} = got.x; {1} = got.y; {2} = got.z; {3} = got.w; }}"
    ),
    "ld.relaxed.gpu.global.v4.u32 {%0, %1, %2, %3}, [%4];": (
        "{{ const uint4 got = cupy_on_cpu_aligned(reinterpret_cast<const uint4*>({4})); "
        "{0} = got.x; {1} = got.y; {2} = got.z; {3} = got.w; }}"
    ),
    "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
    "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};": (
        "cupy_on_cpu_mma_f16({0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}, {8}, {9});"
    ),
    "ld.relaxed.gpu.global.v2.f64 {%0, %1}, [%2];": (
        "{{ const double2 got = cupy_on_cpu_aligned(reinterpret_cast<const double2*>({2})); "
        "{0} = got.x; {1} = got.y; }}"
    ),
}
UNDECLARED = re.compile(r"error: '((?:__|cub|cooperative_groups|tex|surf|atomic|clock)\w*)'")

_kernels: dict[str, Kernel] = {}


def compile_module(
    source: str,
    options: tuple[str, ...] = (),
    *,
    name_expressions: tuple[str, ...] | None = None,
    **ignored: object,
):
    """Take the place of ``cupy.cuda.compiler._compile_module_with_cache``."""
    from cupy.cuda import function  # noqa: PLC0415
    from cupy.cuda.compiler import CompileException  # noqa: PLC0415

    kernel = Kernel(source, tuple(options), tuple(name_expressions or ()))
    try:
        path = build(kernel)
    except CompileError as error:
        if match := UNDECLARED.search(str(error)):
            message = f"{match[1]} is not in the simulator: add it to {CUDA / 'prelude.hpp'}"
            raise NotImplementedError(message) from error
        raise CompileException(str(error), source, "kernel.cu", options, "g++") from error
    _kernels[str(path)] = kernel
    for arch in asked_architectures():
        kept_cubin(kernel, arch)
    module = function.Module()
    module.load(str(path).encode())
    module._set_mapping({e: _symbol(i) for i, e in enumerate(kernel.expressions)})
    return module


def kernel_of(path: str) -> Kernel:
    """Return what a shared object was built of."""
    return _kernels[path]


@cache
def build(kernel: Kernel) -> Path:
    """Build the shared object of a source, with a launcher for each of its kernels."""
    text = DYNAMIC_SHARED.sub(
        r"\1* const \2 = reinterpret_cast<\1*>(cupy_on_cpu_shared());",
        PTX.sub(_call, kernel.source),
    )
    waits = "true" if WAITS.search(text) else "false"
    names = _names(text)
    launched = [(name, name) for name in names]
    launched += [(_symbol(i), e) for i, e in enumerate(kernel.expressions)]
    if not launched:
        message = "the source has no kernel that can be launched by name"
        raise CompileError(message)
    launchers = [f"CUPY_ON_CPU_LAUNCHER({s}, {waits}, {function})" for s, function in launched]
    includes = _includes(kernel.options)
    fibres()
    return shared_object(
        '#line 1 "kernel.cu"\n' + "\n".join([text, *launchers, ""]),
        name=launched[0][1] if names else "template",
        options=[*includes, *(o for o in kernel.options if o.startswith("-D"))],
        header=precompiled_header((CUDA / "prelude.hpp").read_text(), includes),
    )


@cache
def fibres() -> ctypes.PyDLL:
    """Load what runs threads that wait; kernels find its functions by name."""
    path = shared_object((CUDA / "fibres.cpp").read_text(), name="fibres")
    return ctypes.PyDLL(str(path), mode=ctypes.RTLD_GLOBAL)


def can_run_at_once(kernel: Kernel) -> bool:
    """Tell whether several blocks may run at once: static shared memory is there only once."""
    return not STATIC_SHARED.search(DYNAMIC_SHARED.sub("", kernel.source))


def _call(match: re.Match[str]) -> str:
    """Return C++ for a statement of inline PTX."""
    literals, *operands = match.groups()
    instruction = "".join(re.findall(r'"([^"]*)"', literals))
    if instruction not in INSTRUCTIONS:
        message = f"the PTX {instruction!r} is not in the simulator: add it to {__file__}"
        raise NotImplementedError(message)
    return INSTRUCTIONS[instruction].format(*OPERAND.findall(":".join(operands)))


def _names(source: str) -> list[str]:
    """List the kernels that are no templates, each once."""
    found = [
        match[1]
        for match in KERNEL.finditer(source)
        if not TEMPLATE.search(source[: match.start()].replace('extern "C"', ""))
    ]
    return list(dict.fromkeys(found))


def _symbol(i: int) -> str:
    return f"{INSTANCE}{i}"


def _includes(options: tuple[str, ...]) -> list[str]:
    """Return the folders of headers, without that of the CUDA toolkit, which g++ cannot read."""
    folders = [o for o in options if o.startswith("-I")]
    return [o for o in folders if not Path(o.removeprefix("-I"), "cuda_runtime_api.h").exists()]
