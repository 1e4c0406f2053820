"""``mypy --strict`` finds every planted misuse in users' programs, and nothing in good ones."""

import os
import re
import subprocess
import sys
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MAKE = {
    "numpy": "import numpy as np\narray = np.ones((7, 2, 3))",
    "array_api_strict": "import array_api_strict as xp\narray = xp.ones((7, 2, 3))",
    "torch": "import torch\narray = torch.ones(7, 2, 3)",
    "jax": "import jax.numpy as jnp\narray = jnp.ones((7, 2, 3))",
}
OF_A_LIBRARY = """
from typing import assert_type

import xpbptt

def same(net: xpbptt.Net, readout: xpbptt.Linear) -> None:
    y, _, cache = net.forward(net.init(0), array, mask=array > 0)
    logits, kept = readout.forward(readout.init(0), y)
    loss, dlogits = xpbptt.mean_squared_error(logits, array)
    grads = net.backward(cache, readout.backward(kept, dlogits).x)
    assert_type(grads.x, type_of_array)
"""


@pytest.fixture(scope="module")
def check(request):
    """Return a function: ``file → {line: codes of its errors}``, as mypy finds them."""
    pytest.importorskip("mypy", reason='mypy is not installed; the session "types" of nox has it')
    cache = request.config.cache.mkdir("mypy")

    def run(file):
        options = ["--strict", "--config-file=", "--follow-imports=silent", "--no-error-summary"]
        command = [sys.executable, "-m", "mypy", *options, "--cache-dir", cache, file]
        environment = os.environ | {"MYPYPATH": str(ROOT)}
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
        assert not done.stderr
        found = defaultdict(set)
        for line in done.stdout.splitlines():
            if ": note: " not in line:
                number, code = re.fullmatch(r".*?:(\d+): error: .*\[([\w-]+)\]", line).groups()
                found[int(number)].add(code)
        return dict(found)

    return run


def test_every_misuse_is_caught(check):
    file = HERE / "misuse.py"
    lines = enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
    planted = {n: set(line.split("# E: ")[1].split(", ")) for n, line in lines if "# E: " in line}
    assert len(planted) > 40
    assert check(file) == planted


def test_a_good_program_passes_and_runs(check):
    file = HERE / "program.py"
    assert check(file) == {}
    subprocess.run([sys.executable, file], check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})


def test_the_programs_of_the_first_page_pass(check, tmp_path):
    page = (ROOT / "docs" / "start.md").read_text(encoding="utf-8")
    programs = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert len(programs) > 3
    file = tmp_path / "start.py"
    file.write_text("\n".join(programs), encoding="utf-8")
    assert check(file) == {}


@pytest.mark.parametrize("library", MAKE)
def test_what_comes_from_an_array_is_of_its_type(check, tmp_path, library):
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    types = {
        "numpy": "np.ndarray[tuple[int, int, int], np.dtype[np.float64]]",
        "array_api_strict": "xp._array_object.Array",
        "torch": "torch.Tensor",
        "jax": "jax.Array",
    }
    file = tmp_path / "program.py"
    source = MAKE[library] + OF_A_LIBRARY.replace("type_of_array", types[library])
    file.write_text(source, encoding="utf-8")
    assert check(file) == {}
