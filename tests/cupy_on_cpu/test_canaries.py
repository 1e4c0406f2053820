"""A CuPy that the simulator does not fit is refused with a sentence that names the internal.

Each test takes one internal away, or changes it, as a new version of CuPy would.
"""

import ctypes
import os
import subprocess
import sys
from types import ModuleType

import cupy
import numpy as np
import pytest

from cupy_on_cpu import canaries, capsules, cublas, misfit, refusals

SENTENCE = r"was written for CuPy 14\.2 and does not fit cupy-cuda\d+x [\d.]+.*: "


@pytest.fixture
def module():
    """Make a Cython module that exports nothing."""
    made = ModuleType("cupy_backends.cuda.api.runtime")
    made.__pyx_capi__ = {}
    return made


def capsule(signature):
    """Make a capsule named by a signature, as Cython does."""
    name = ctypes.create_string_buffer(signature.encode())
    NAMES.append(name)  # a capsule keeps a pointer to its name
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p] * 3
    return new(1, ctypes.addressof(name), None)


NAMES = []


def refused(what):
    return pytest.raises(RuntimeError, match=SENTENCE + what)


def test_this_cupy_fits():
    canaries.check_compiler()
    canaries.check()
    assert cupy.__version__.startswith(misfit.WRITTEN_FOR)


def test_an_exported_function_is_gone(module):
    with refused("cupy_backends.cuda.api.runtime does not export free, malloc"):
        capsules.replace(module, {"malloc": int, "free": int})


def test_nothing_is_exported():
    with refused("no_cython exports no C functions"):
        capsules.replace(ModuleType("no_cython"), {})


def test_an_exported_function_takes_another_type(module):
    module.__pyx_capi__["malloc"] = capsule("intptr_t (size_t, cudaNew_t, int __pyx_skip_dispatch)")

    with refused("malloc takes a 'cudaNew_t', a type that capsules.py does not know"):
        capsules.replace(module, {"malloc": int})


@pytest.mark.parametrize(
    ("name", "parameter"),
    [
        ("_compile_module_with_cache", "name_expressions"),
        ("_NVRTCProgram", "method"),
        ("CompileException", "msg"),
    ],
)
def test_a_function_of_the_compiler_is_gone_or_changed(monkeypatch, name, parameter):
    monkeypatch.setattr(cupy.cuda.compiler, name, lambda source: source)
    with refused(f"cupy.cuda.compiler.{name} takes no .*{parameter}"):
        canaries.check_compiler()

    monkeypatch.delattr(cupy.cuda.compiler, name)
    with refused(f"it has no cupy.cuda.compiler.{name}"):
        canaries.check_compiler()


def test_a_module_cannot_be_loaded(monkeypatch):
    monkeypatch.setattr(cupy.cuda.function, "Module", type("Module", (), {"load": None}))

    with refused("cupy.cuda.function.Module has no _set_mapping"):
        canaries.check_compiler()


def test_a_header_is_gone(monkeypatch, tmp_path):
    monkeypatch.setattr(cupy._core.core, "_get_header_dir_path", lambda: str(tmp_path))

    with refused(r"it has no header cupy/carray\.cuh"):
        canaries.check_headers()


def test_memory_comes_from_elsewhere():
    pool = cupy.cuda.MemoryPool()
    cupy.cuda.set_allocator(pool.malloc)
    try:
        cupy.zeros(3, dtype=cupy.float32)  # leaves its block in the pool
        with refused("an array does not take its memory from cudaMalloc"):
            canaries.check_memory()
    finally:
        cupy.cuda.set_allocator(None)


def test_kernels_are_not_launched_here(monkeypatch):
    monkeypatch.setattr("cupy_on_cpu.counters.launch", lambda *_: None)

    with refused("an elementwise kernel makes 0 launches and 0 products"):
        canaries.check_kernels()


def test_products_are_not_made_here(monkeypatch):
    monkeypatch.setattr(cublas, "gemmEx", lambda *_: None)

    with refused("a product of matrices makes 0 launches and 0 products"):
        canaries.check_products()


def test_what_is_to_be_refused_is_gone(monkeypatch):
    monkeypatch.delattr(cupy.cuda.thrust, "sort")

    with refused(r"it has no cupy\.cuda\.thrust\.sort, which the simulator must refuse"):
        refusals.install_after()


def test_an_exception_gets_through_each_kind_of_result(monkeypatch):
    """Cython looks for one where the result has a certain value, which capsules.py must know."""
    pointer, number, decimal, nothing = (
        lambda: cupy.cuda.malloc_managed(12),
        lambda: cupy.cuda.Device.from_pci_bus_id("0000:00:00.0"),
        lambda: cupy.cuda.get_elapsed_time(cupy.cuda.Event(), cupy.cuda.Event()),
        lambda: cupy.cuda.Stream().launch_host_func(print, 0),
    )

    for call, name in [
        (pointer, "mallocManaged"),
        (number, "deviceGetByPCIBusId"),
        (decimal, "eventElapsedTime"),
        (nothing, "launchHostFunc"),
    ]:
        with pytest.raises(NotImplementedError, match=rf"runtime\.{name} is not in the simulator"):
            call()
    assert np.array_equal((cupy.ones(2) + 1).get(), [2, 2])  # none is left behind


def test_installing_after_cupy_was_imported_is_refused():
    code = "import cupy, cupy_on_cpu; cupy_on_cpu.install()"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert "RuntimeError: cupy_on_cpu.install() comes too late: CuPy is imported" in run.stderr


def test_no_compiler_is_a_sentence(monkeypatch):
    from cupy_on_cpu import build  # noqa: PLC0415

    build.compiler.cache_clear()
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(RuntimeError, match="no-such-compiler, which is not installed"):
        build.compiler()
    monkeypatch.undo()
    assert build.compiler()
