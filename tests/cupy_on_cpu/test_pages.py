"""The examples of the page about CuPy, as they stand there."""

import cupy
import pytest


@pytest.mark.filterwarnings("ignore:cupyx.jit.rawkernel is experimental:FutureWarning")
def test_every_example_runs(examples):
    blocks = [code for code in examples("cookbook/cupy") if "import torch" not in code]
    assert len(blocks) == 4
    names = {}
    for code in blocks:
        exec(code, names)
    assert isinstance(names["y"], cupy.ndarray)
    assert isinstance(names["grads"].x, cupy.ndarray)
