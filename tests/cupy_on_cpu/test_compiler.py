"""Building kernels: kept between processes, for the CPU and, with NVRTC, for real GPUs."""

import os
import subprocess
import sys

import cupy
import pytest

from cupy_on_cpu import ARCHITECTURES, Kernel, build, compiler, cubin, nvrtc

KERNEL = r"""
extern "C" __global__ void fill(float* y) { y[threadIdx.x] = VALUE; }
"""
PROGRAM = """
import cupy_on_cpu
cupy_on_cpu.install()
import cupy
print(float((cupy.arange(7) + 1).sum()))
"""


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """Let the builds of this process go to an empty folder."""
    monkeypatch.setenv("CUPY_ON_CPU_CACHE", str(tmp_path))
    compiler.build.cache_clear()
    yield tmp_path
    compiler.build.cache_clear()


@pytest.fixture
def builds(monkeypatch):
    """List what is built, with the compiler running."""
    made, real = [], build._build
    monkeypatch.setattr(build, "_build", lambda *a, **k: (made.append(a[0].name), real(*a, **k)))
    return made


def kernel(*options):
    """Make what CuPy would hand over."""
    return Kernel(KERNEL, cupy._core.core.assemble_cupy_compiler_options(options), ())


def test_a_kernel_is_built_once(cache, builds):
    first = compiler.build(kernel("-DVALUE=1"))
    compiler.build.cache_clear()  # as in another process
    assert compiler.build(kernel("-DVALUE=1")) == first
    assert len(builds) == 2  # the header and the kernel
    assert {path.suffix for path in cache.iterdir() if path.is_file()} == {".so"}


def test_another_source_or_option_or_compiler_is_another_build(cache, builds, monkeypatch):
    paths = [compiler.build(kernel("-DVALUE=1")), compiler.build(kernel("-DVALUE=2"))]
    paths.append(compiler.build(kernel("-DVALUE=1")._replace(source=KERNEL + "\n")))
    monkeypatch.setattr(build, "_identity", lambda: ("g++", "another version"))
    compiler.build.cache_clear()
    paths.append(compiler.build(kernel("-DVALUE=1")))
    monkeypatch.setattr(build, "FLAGS", (*build.FLAGS, "-g"))
    compiler.build.cache_clear()
    paths.append(compiler.build(kernel("-DVALUE=1")))

    assert len(set(paths)) == len(paths)


def test_processes_that_build_the_same_at_once(tmp_path):
    environment = os.environ | {
        "CUPY_ON_CPU_CACHE": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    processes = [
        subprocess.Popen([sys.executable, "-c", PROGRAM], env=environment, stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    outputs = [process.communicate()[0] for process in processes]

    assert outputs == [b"28.0\n"] * 3
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith("tmp")]


def test_what_the_compiler_says_is_raised_as_cupy_raises_it():
    wrong = cupy.RawKernel('extern "C" __global__ void f() { int x = "text"; }', "f")

    with pytest.raises(cupy.cuda.compiler.CompileException, match="invalid conversion"):
        wrong.compile()


@pytest.mark.parametrize("name", ["__shfl_down_sync", "__ballot_sync"])
def test_what_cuda_has_and_the_simulator_has_not_is_named(name):
    unknown = cupy.RawKernel(f'extern "C" __global__ void f(int* x) {{ *x = {name}(1, 2); }}', "f")

    with pytest.raises(NotImplementedError, match=rf"{name} is not in the simulator"):
        unknown.compile()


def test_a_kernel_with_a_mangled_name_is_not_found():
    mangled = cupy.RawKernel("__global__ void f(int* x) { *x = 1; }", "f")
    with pytest.raises(RuntimeError, match="no kernel 'f'; is it declared extern"):
        mangled.compile()


@pytest.mark.parametrize(
    ("grid", "block", "shared"), [((1,), (1025,), 0), ((1, 65536), (1,), 0), ((1,), (1,), 50000)]
)
def test_a_launch_that_a_gpu_refuses(grid, block, shared):
    raw = cupy.RawKernel('extern "C" __global__ void nothing() {}', "nothing")

    with pytest.raises(RuntimeError, match="CUDA_ERROR_INVALID_VALUE: nothing launched"):
        raw(grid, block, (), shared_mem=shared)


@pytest.fixture
def needs_nvrtc():
    from cupy_backends.cuda.libs import nvrtc as library  # noqa: PLC0415

    try:
        library.getVersion()
    except RuntimeError as error:
        pytest.skip(f"NVRTC is not installed: {error}")


@pytest.mark.usefixtures("needs_nvrtc")
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_launched_kernel_compiles_for_gpus(arch, counting):
    with counting() as count:
        cupy.sum(cupy.tanh(cupy.ones((3, 4), dtype=cupy.float16)))

    kernels = set.union(*count.kernels.values())
    assert len(kernels) == 3
    for one in kernels:
        assert cubin(one.source, one.options, arch, one.expressions).startswith(b"\x7fELF")


@pytest.mark.usefixtures("needs_nvrtc")
def test_what_gxx_takes_and_nvrtc_refuses_is_caught(cache, monkeypatch):
    source = 'extern "C" __global__ void f(double* x) { *x = std::lgamma(*x); }'
    monkeypatch.delenv("CUPY_ON_CPU_CUBIN", raising=False)
    fine_here = cupy.RawKernel(source, "f")
    fine_here.compile()

    monkeypatch.setenv("CUPY_ON_CPU_CUBIN", "90")
    assert nvrtc.asked_architectures() == [90]
    with pytest.raises(cupy.cuda.compiler.CompileException, match="has no member"):
        cupy.RawKernel(source + "\n", "f").compile()
    cupy.RawKernel(source.replace("std::", ""), "f").compile()
    assert len([*cache.glob("*.cubin")]) == 1
