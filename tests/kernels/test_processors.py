"""Compiled cells on processors with less than this one has: narrower vectors, fewer registers."""

import os
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import sys

import llvmlite.binding as llvm

name, *missing = sys.argv[1:]
found = llvm.get_host_cpu_features


def fewer():
    features = found()
    for each in features:
        features[each] = features[each] and not each.startswith(tuple(missing))
    return features


llvm.get_host_cpu_features, llvm.get_host_cpu_name = fewer, lambda: name

import os
import numpy as np
import xpbptt
from xpbptt.kernels.llvm import machine
from xpbptt.kernels.llvm.vectors import vector

random = np.random.default_rng(0)
for make in (xpbptt.LSTM, xpbptt.LayerNormGRU, xpbptt.MinGRU):
    for inputs, hidden, batch, steps in ((3, 5, 7, 4), (17, 33, 13, 3), (16, 8, 4, 2)):
        net = make(inputs, hidden)
        params = net.init(0, dtype="float64")
        x = random.standard_normal((steps, batch, inputs))
        mask = random.random((steps, batch)) < 0.8

        def run():
            y, (state,), cache = net.forward(params, x, mask=mask, bptt=xpbptt.Segments(2))
            grads = net.backward(cache, y)
            (weights,) = grads.params
            named = [each for each in weights if not isinstance(each, tuple)]
            return [y, net.infer(params, x, mask=mask)[0], *state, grads.x, *named, *weights.extra]

        compiled = run()
        os.environ["XPBPTT_ENGINE"] = "eager"
        eager = run()
        del os.environ["XPBPTT_ENGINE"]
        for one, other in zip(compiled, eager, strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-11)
print(*vector("float64", machine.features())[2:])
"""


@pytest.mark.parametrize(
    ("name", "missing", "vector"),
    [("x86-64-v3", ["avx512"], "4 16"), ("x86-64", ["avx", "fma"], "2 16")],
    ids=["AVX2", "portable"],
)
def test_the_numbers_are_those_of_the_eager_engine(name, missing, vector):
    pytest.importorskip("llvmlite", reason="is about compiled cells")
    if platform.machine() not in {"x86_64", "AMD64"}:
        pytest.skip("is about processors of this kind")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, name, *missing],
        env=os.environ | {"XPBPTT_CACHE": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == vector.split(), "lanes and registers"
