"""Passes take no new memory of the system once they are warm."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource
import numpy as np
import xpbptt

net = xpbptt.LSTM(64, 64)
params, x = net.init(0), np.ones((50, 32, 64), dtype=np.float32)

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def run(times):
    for _ in range(times):
        y, _, cache = net.forward(params, x)
        net.backward(cache, y)

run(3)
before = faults()
run(10)
print((faults() - before) / 10)
"""


def test_freed_memory_is_kept_for_the_next_pass():
    pytest.importorskip("llvmlite", reason="is about passes that are compiled")
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("is about glibc")
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 20, "pages a pass; 80 to 800 where all is given back"
