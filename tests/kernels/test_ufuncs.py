"""The step of a stream as calls of NumPy's functions: whose memory it works in."""

import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np

import xpbptt
from xpbptt.kernels.find import build
from xpbptt.kernels.stream import around


def stepping(net):
    """Return the step of a net's cell as it is without Numba, whatever is installed."""
    modules, dtype = ("xpbptt.kernels.ufuncs",), np.dtype(np.float32)
    return around(net.cell, build(net.cell, "single", masked=False, modules=modules, dtype=dtype))


def test_what_a_large_step_works_in_is_not_kept():
    net, batch = xpbptt.LSTM(1, 256), 1024
    (params,), x = net.init(0), np.ones((batch, 1), np.float32)
    step, state = stepping(net), net.infer(net.init(0), x[None])[1][0]
    tracemalloc.start()
    step(params, x, state)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    product = batch * 4 * 256 * 4  # bytes
    assert peak > 2 * product
    assert held < product / 4


def test_threads_share_no_memory():
    net = xpbptt.LSTM(3, 40)
    (params,) = net.init(0)
    step, interval = stepping(net), sys.getswitchinterval()

    def stream(seed):
        x = np.random.default_rng(seed).normal(size=(200, 4, 3)).astype(np.float32)
        state = net.infer((params,), x[:1])[1][0]
        for x_t in x:
            state = step(params, x_t, state)
        return state

    expected = [stream(seed) for seed in range(8)]
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(stream, range(8)))
    finally:
        sys.setswitchinterval(interval)
    np.testing.assert_array_equal(found, expected)
