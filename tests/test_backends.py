"""Array libraries by name, and the option of the tests that chooses among them.

A library that is missing, broken or without a device is played by what stands in `sys.modules`,
so that the tests say the same whatever is installed.
"""

import subprocess
import sys
from types import ModuleType

import array_api_compat
import numpy as np
import pytest

from xpbptt import backends
from xpbptt._arrays.namespace import standard

NAMES = ("numpy", "cupy", "torch", "jax", "array-api-strict")
OPTIONAL = {
    "cupy": ("cupy", "array_api_compat.cupy"),
    "torch": ("torch", "array_api_compat.torch"),
    "jax": ("jax", "jax.numpy"),
    "array-api-strict": ("array_api_strict", "array_api_strict"),
}


@pytest.fixture
def no_driver(monkeypatch):
    """Play CuPy on a machine without a GPU: it imports, and no array can be made."""

    def ones(_shape):
        message = "cudaErrorNoDevice: no CUDA-capable device is detected\nmore about it"
        raise OSError(message)

    library, namespace = ModuleType("cupy"), ModuleType("array_api_compat.cupy")
    library.__version__ = "14.9.9"
    namespace.ones = ones
    monkeypatch.setitem(sys.modules, "cupy", library)
    monkeypatch.setitem(sys.modules, "array_api_compat.cupy", namespace)


def remove(monkeypatch, name):
    library, namespace = OPTIONAL[name]
    monkeypatch.delitem(sys.modules, namespace, raising=False)
    monkeypatch.setitem(sys.modules, library, None)


def described(name):
    (backend,) = (backend for backend in backends.available() if backend.name == name)
    return backend


def pytest_with(*arguments, before="pass"):
    """Run pytest in a process of its own, with `before` run first in it."""
    code = f"import sys, pytest; {before}; sys.exit(pytest.main(sys.argv[1:]))"
    options = ("--collect-only", "-q", "-p", "no:cacheprovider", __file__)
    command = [sys.executable, "-c", code, *arguments, *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_load_gives_the_namespace_of_the_arrays(xp):
    array = xp.ones(3)

    assert array_api_compat.array_namespace(array) is xp
    assert array.shape == (3,)


def test_load_numpy():
    assert backends.load("numpy").__name__ == "array_api_compat.numpy"


def test_load_unknown_name_lists_the_names():
    with pytest.raises(ValueError, match="`name` is 'tensorflow'") as error:
        backends.load("tensorflow")

    assert all(name in str(error.value) for name in NAMES)


@pytest.mark.parametrize("name", OPTIONAL)
def test_load_missing_library_says_how_to_install_it(monkeypatch, name):
    remove(monkeypatch, name)
    package = '".[cuda12]" in a checkout of xpbptt' if name == "cupy" else name

    with pytest.raises(ImportError, match="is not installed") as error:
        backends.load(name)

    assert name in str(error.value)
    assert "python -m pip install" in str(error.value)
    assert package in str(error.value)


@pytest.mark.parametrize(
    "raised",
    ["OSError('no libcublas')", "ModuleNotFoundError('no libcublas', name='libcublas')"],
)
def test_load_broken_library_says_what_its_import_says(monkeypatch, tmp_path, raised):
    (tmp_path / "cupy.py").write_text(f"raise {raised}\n")
    monkeypatch.syspath_prepend(tmp_path)
    for module in OPTIONAL["cupy"]:
        monkeypatch.delitem(sys.modules, module, raising=False)

    with pytest.raises(ImportError, match=r"import fails: \w+Error: no libcublas"):
        backends.load("cupy")


@pytest.mark.usefixtures("no_driver")
def test_load_without_a_device_says_why():
    with pytest.raises(RuntimeError, match="cudaErrorNoDevice: no CUDA-capable") as error:
        backends.load("cupy")

    assert "NVIDIA GPU" in str(error.value)
    assert "\n" not in str(error.value)


def test_available_describes_every_library_in_order():
    found = backends.available()

    assert tuple(backend.name for backend in found) == NAMES == backends.NAMES
    assert all(backend.usable == (backend.reason == "") for backend in found)
    assert all(backend.usable == (backend.device is not None) for backend in found)


def test_available_describes_numpy():
    assert described("numpy") == ("numpy", np.__version__, "cpu", True, "")


def test_available_describes_the_chosen_library(xp, request):
    backend = described(request.node.callspec.params["xp"].removesuffix("-on-cpu"))

    assert backend.usable
    assert backend.version
    assert backend.device.startswith("cuda:" if backend.name == "cupy" else "cpu")
    assert backends.load(backend.name) is xp


def test_available_describes_a_missing_library(monkeypatch):
    remove(monkeypatch, "jax")

    name, version, device, usable, reason = described("jax")

    assert (name, version, device, usable) == ("jax", None, None, False)
    assert "not installed" in reason


@pytest.mark.usefixtures("no_driver")
def test_available_describes_a_library_without_a_device():
    name, version, device, usable, reason = described("cupy")

    assert (name, version, device, usable) == ("cupy", "14.9.9", None, False)
    assert "no CUDA-capable device" in reason


@pytest.mark.usefixtures("no_driver")
def test_table_has_a_line_for_each_library(monkeypatch):
    remove(monkeypatch, "jax")

    header, *lines = backends.table().splitlines()

    assert header.split() == ["backend", "version", "device", "usable"]
    assert [line.split()[0] for line in lines] == list(NAMES)
    assert lines[0].split() == ["numpy", np.__version__, "cpu", "yes"]
    assert lines[1].split()[:4] == ["cupy", "14.9.9", "-", "no:"]
    assert lines[3].split()[:4] == ["jax", "-", "-", "no:"]
    assert "not installed" in lines[3]
    assert header.index("usable") == lines[0].index("yes") == lines[1].index("no:")


def test_default_is_numpy(monkeypatch):
    monkeypatch.delenv("XPBPTT_BACKEND", raising=False)
    assert backends.default() == "numpy"

    monkeypatch.setenv("XPBPTT_BACKEND", "")
    assert backends.default() == "numpy"


def test_default_is_what_the_variable_says(monkeypatch):
    monkeypatch.setenv("XPBPTT_BACKEND", "jax")

    assert backends.default() == "jax"


def test_default_refuses_an_unknown_name(monkeypatch):
    monkeypatch.setenv("XPBPTT_BACKEND", "NumPy")

    with pytest.raises(ValueError, match="`XPBPTT_BACKEND` is 'NumPy', expected one of: numpy,"):
        backends.default()


def test_standard_namespace_stays(xp):
    assert standard(xp) is xp


def test_standard_of_the_libraries_own_module(xp):
    own = sys.modules[xp.__name__.removeprefix("array_api_compat.")]

    assert standard(own) is xp


def test_standard_makes_one_array_once():
    made = []
    namespace = ModuleType("counting")
    namespace.empty = lambda shape: made.append(shape) or np.empty(shape)

    assert standard(namespace).__name__ == "array_api_compat.numpy"
    assert standard(namespace).__name__ == "array_api_compat.numpy"
    assert made == [0]


class _Unhashable(ModuleType):
    __hash__ = None
    empty = np.empty


class _Arrayless(ModuleType):
    empty = list


@pytest.mark.parametrize(
    "wrong", [None, "numpy", np.ones(2), [np], sys, _Unhashable("a"), _Arrayless("b")], ids=repr
)
def test_standard_refuses_what_makes_no_arrays(wrong):
    with pytest.raises(TypeError, match="`xp` must be the namespace of an array library"):
        standard(wrong)


def test_import_of_the_module_imports_no_library():
    code = (
        "import sys, xpbptt.backends; "
        "print(*sys.modules.keys() & {'torch', 'jax', 'cupy', 'array_api_strict'})"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == []


def test_option_runs_on_the_libraries_it_names():
    done = pytest_with("--backend", "array-api-strict", "--backend", "numpy")

    collected = [line.partition("::")[2] for line in done.stdout.splitlines() if "::" in line]
    assert done.returncode == 0, done.stderr
    assert [name for name in collected if "standard_namespace_stays" in name] == [
        "test_standard_namespace_stays[array-api-strict]",
        "test_standard_namespace_stays[numpy]",
    ]
    assert "test_default_is_numpy" in collected  # takes no `xp`: once, whatever is chosen


@pytest.mark.parametrize(
    ("name", "before", "reason"),
    [
        ("tensorflow", "pass", "expected one of: numpy, cupy"),
        ("jax", "sys.modules['jax'] = None", "jax is not installed: python -m pip install jax"),
    ],
    ids=["unknown", "missing"],
)
def test_option_is_an_error_where_the_library_is_not_usable(name, before, reason):
    done = pytest_with("--backend", "numpy", "--backend", name, before=before)

    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"--backend {name}: " in done.stderr
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
