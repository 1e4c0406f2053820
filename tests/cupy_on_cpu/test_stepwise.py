"""The loop `stepwise`: what Python does for a step, and what cuBLAS is asked for."""

import cupy
import numpy as np
import pytest
from cupy._core import _routines_linalg as linalg
from cupy_backends.cuda.libs import cublas

import xpbptt
from cupy_on_cpu.profile import calls
from xpbptt.bptt.engines import engine

I, H = 3, 5
BEFORE = {"forward": 13, "backward": 14}  # calls a step with `ndarray.dot` and ElementwiseKernel


@pytest.fixture(autouse=True)
def stepwise(monkeypatch):
    monkeypatch.setenv(engine.ENGINE, "stepwise")


def passes(net, steps, dtype="float32", **options):
    random = np.random.default_rng(0)
    params = net.init(0, xp=cupy, dtype=dtype)
    x = cupy.asarray(random.standard_normal((steps, 4, I)).astype(dtype))
    y, _, cache = net.forward(params, x)
    return {
        "forward": lambda: net.forward(params, x),
        "backward": lambda: net.backward(cache, y, **options),
    }


@pytest.mark.parametrize("what", BEFORE)
@pytest.mark.parametrize(
    "net", [xpbptt.LSTM(I, H), xpbptt.GRU(I, H, 2, bidirectional=True)], ids=repr
)
def test_a_step_is_a_third_of_the_calls_that_it_was(net, what):
    less, more = (passes(net, steps)[what] for steps in (12, 22))
    less(), more()  # what is built once
    runs = 10 * net.num_layers * net.directions
    assert (calls(more).total() - calls(less).total()) / runs <= BEFORE[what] / 3


ASKED = {  # TF32 or not: the element types and the type of the sums
    ("float16", linalg.COMPUTE_TYPE_DEFAULT): (2, cublas.CUBLAS_COMPUTE_32F),
    ("float32", linalg.COMPUTE_TYPE_DEFAULT): (0, cublas.CUBLAS_COMPUTE_32F),
    ("float32", linalg.COMPUTE_TYPE_TF32): (0, cublas.CUBLAS_COMPUTE_32F_FAST_TF32),
    ("float32", linalg.COMPUTE_TYPE_PEDANTIC): (0, cublas.CUBLAS_COMPUTE_32F_PEDANTIC),
    ("float64", linalg.COMPUTE_TYPE_DEFAULT): (1, cublas.CUBLAS_COMPUTE_64F),
    ("float64", linalg.COMPUTE_TYPE_PEDANTIC): (1, cublas.CUBLAS_COMPUTE_64F_PEDANTIC),
}


@pytest.mark.parametrize(("dtype", "mode"), ASKED)
def test_cublas_is_asked_for_what_cupy_asks_it_for(dtype, mode, monkeypatch):
    """The same handle, types, modes and algorithm in every product of both passes."""
    real, asked = cublas.gemmEx, []

    def gemm(*arguments):
        handle, *_, c, _, compute, algorithm = arguments
        asked.append((handle, arguments[8], arguments[11], c, compute, algorithm))
        real(*arguments)

    monkeypatch.setattr(cublas, "gemmEx", gemm)
    before = linalg.get_compute_type(np.dtype(dtype))
    linalg.set_compute_type(np.dtype(dtype), mode)
    try:
        for run in passes(xpbptt.LSTM(I, H), 6, dtype).values():
            run()
        ours = set(asked)
        asked.clear()
        cupy.ones((3, 3), dtype=dtype).dot(cupy.ones((3, 3), dtype=dtype))
    finally:
        linalg.set_compute_type(np.dtype(dtype), before)
    kind, compute = ASKED[dtype, mode]
    assert ours == set(asked)
    assert {each[1:5] for each in ours} == {(kind, kind, kind, compute)}
