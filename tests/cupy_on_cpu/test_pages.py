"""The examples of the page about CuPy, with fewer units: a thread of the grid is a fibre here."""

import cupy
import pytest


@pytest.mark.filterwarnings("ignore:cupyx.jit.rawkernel is experimental:FutureWarning")
def test_every_example_runs(examples):
    blocks = [code for code in examples("cookbook/cupy") if "import torch" not in code]
    assert len(blocks) == 4
    assert sum("256" in code for code in blocks) == 2
    names = {}
    for code in blocks:
        exec(code.replace("256", "16"), names)
    assert isinstance(names["y"], cupy.ndarray)
    assert isinstance(names["grads"].x, cupy.ndarray)
