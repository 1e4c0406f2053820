"""The compiled cells on a GPU: one product and one kernel a step, and code for real devices."""

import cupy
import numpy as np
import pytest

import xpbptt
from cupy_on_cpu import ARCHITECTURES, cubin
from xpbptt import KeepAll, KeepStates

B, I, H = 4, 3, 5
NETS = {"rnn": xpbptt.RNN(I, H), "lstm": xpbptt.LSTM(I, H), "gru": xpbptt.GRU(I, H)}


def passes(net, counting, steps, *, masked, bptt, dtype="float32"):
    """Count what a forward and a backward pass ask of the device."""
    random = np.random.default_rng(0)
    draw = lambda *shape: cupy.asarray(random.standard_normal(shape).astype(dtype))  # noqa: E731
    params, x, dy = net.init(0, xp=cupy, dtype=dtype), draw(steps, B, I), draw(steps, B, H)
    mask = cupy.asarray(random.random((steps, B)) < 0.7) if masked else None
    _, _, cache = net.forward(params, x, None, mask, bptt=bptt)  # builds what is built once
    net.backward(cache, dy)
    with counting() as ahead:
        _, _, cache = net.forward(params, x, None, mask, bptt=bptt)
    with counting() as back:
        net.backward(cache, dy)
    return ahead, back


@pytest.mark.parametrize("masked", [False, True], ids=["plain", "masked"])
@pytest.mark.parametrize("bptt", [KeepAll(), KeepStates()], ids=repr)
@pytest.mark.parametrize("name", NETS)
def test_a_step_is_one_product_and_one_kernel(name, bptt, masked, counting, simulator):
    less, more = (
        passes(NETS[name], counting, steps, masked=masked, bptt=bptt) for steps in (12, 22)
    )
    for few, many in zip(less, more, strict=True):
        assert sum(many.launches.values()) - sum(few.launches.values()) == 10
        assert many.products - few.products == 10
        assert many.allocations == few.allocations
        assert many.on_device == few.on_device
        assert many.to_device == many.to_host == many.synchronisations == 0


@pytest.mark.parametrize("name", NETS)
def test_a_step_of_a_stream(name, counting, simulator):
    net = NETS[name]
    params, x = net.init(0, xp=cupy), cupy.ones((B, I), dtype="float32")
    _, state = net.step(params, x)
    with counting() as count:
        net.step(params, x, state)
    assert sum(count.launches.values()) == 1
    assert count.products == 2
    assert count.to_device == count.to_host == count.synchronisations == 0


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", NETS)
def test_every_kernel_compiles_for_real_devices(name, dtype, counting, simulator):
    net = NETS[name]
    params, x = net.init(0, xp=cupy, dtype=dtype), cupy.ones((3, B, I), dtype=dtype)
    with counting() as count:
        for mask in (None, cupy.ones((3, B), dtype=bool)):
            for bptt in (KeepAll(), KeepStates()):
                y, _, cache = net.forward(params, x, None, mask, bptt=bptt)
                net.backward(cache, y)
            net.backward(cache, y, trace=True)
        net.step(params, x[0])
    found = {name: kernels for name, kernels in count.kernels.items() if "xpbptt_" in name}
    kinds = {"record", "advance", "back", "watch", "single"}
    kinds |= {"recompute"} if name != "rnn" else set()  # an RNN keeps no residuals
    assert {kernel.rpartition("_")[2] for kernel in found} == kinds
    for sources in found.values():
        for source in sources:
            for architecture in ARCHITECTURES:
                assert cubin(source.source, source.options, architecture)
