"""What a user sees: the public names, and no library imported that was not asked for."""

import subprocess
import sys

import pytest

import xpbptt


def test_all_is_sorted_and_complete():
    assert xpbptt.__all__ == sorted(xpbptt.__all__)
    public = {name for name in vars(xpbptt) if not name.startswith("_")}
    modules = {name for name in public if type(getattr(xpbptt, name)) is type(xpbptt)}
    assert public - modules == set(xpbptt.__all__) - modules


def test_the_modules_are_there_after_one_import():
    code = "import xpbptt as x; x.plot.gradient_flow, x.testing.check_gradients, x.backends.table"
    code += "; x.interop.torch.from_state_dict, x.losses, x.optim, x.notebook, x.cells, x.bptt"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_everything_public_is_documented():
    words = {name: (getattr(xpbptt, name).__doc__ or "").split() for name in xpbptt.__all__}
    assert [name for name, found in words.items() if len(found) <= 5] == []


@pytest.mark.parametrize(
    "module",
    [
        "xpbptt",
        "xpbptt.testing",
        "xpbptt.backends",
        "xpbptt.bridges",
        "xpbptt.interop.torch",
        "xpbptt.commands.main",
    ],
)
def test_importing_imports_no_array_library_but_numpy(module):
    code = (
        f"import sys, {module}; "
        "print([m for m in ('cupy', 'torch', 'jax', 'array_api_strict', 'matplotlib', 'tqdm', "
        "'safetensors', 'onnx', 'keras') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
