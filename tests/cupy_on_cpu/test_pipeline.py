"""A guest in somebody's CuPy pipeline: their stream, their memory, their arrays, their filters."""

import re
from typing import Any, NamedTuple

import cupy
import numpy as np
import pytest

import xpbptt

T, B, I, H, K = 12, 4, 3, 5, 6
NETS = {
    "rnn": xpbptt.RNN(I, H, nonlinearity="relu"),
    "lstm": xpbptt.LSTM(I, H, 2, dropout=0.5),
    "gru": xpbptt.GRU(I, H, 2, bidirectional=True),
    "gru-before": xpbptt.GRU(I, H, reset_after=False),
}
STRATEGIES = [xpbptt.KeepAll(), xpbptt.KeepStates(), xpbptt.Segments(4)]
NULL = cupy.cuda.Stream.null

pytestmark = pytest.mark.filterwarnings(  # what cupyx.scipy.signal does when it is imported
    "ignore:cupyx.jit.rawkernel is experimental:FutureWarning"
)


class Given(NamedTuple):
    """What a user of the library has, on the device, before the first call."""

    net: xpbptt.Net
    params: Any
    readout: Any
    x: Any
    mask: Any
    labels: Any


def given(net):
    random = np.random.default_rng(0)
    return Given(
        net,
        net.init(0, xp=cupy),
        xpbptt.Linear(net.directions * H, K).init(1, xp=cupy),
        cupy.asarray(random.standard_normal((T, B, I)).astype("float32")),
        cupy.asarray(random.random((T, B)) < 0.7),
        cupy.asarray(random.integers(K, size=(T, B))),
    )


def train_and_use(of, bptt=STRATEGIES[0]):
    """Call everything that there is, and return every array that came out."""
    net, linear = of.net, xpbptt.Linear(of.net.directions * H, K)
    seed = 1 if net.dropout else None
    y, state, cache = net.forward(of.params, of.x, None, of.mask, bptt=bptt, dropout_seed=seed)
    logits, kept = linear.forward(of.readout, y)
    loss, dlogits = xpbptt.softmax_cross_entropy(logits, of.labels, of.mask)
    error, _ = xpbptt.mean_squared_error(y, y)
    of_readout = linear.backward(kept, dlogits)
    grads = net.backward(cache, of_readout.x, state)
    traced, norms = net.backward(cache, of_readout.x, trace=True, clip_step=1.0)
    clipped, norm = xpbptt.clip_by_global_norm((grads.params, of_readout.params), 1.0)
    trained = []
    for optimizer in (xpbptt.sgd(0.1, momentum=0.9), xpbptt.adam(0.1)):
        params = of.params, of.readout
        trained.append(optimizer.update(clipped, optimizer.init(params), params)[0])
    used = net.infer(of.params, of.x, state)
    if not net.bidirectional:
        used += net.step(of.params, of.x[0], state)
    return y, state, loss, error, grads, of_readout, traced, norms, clipped, norm, *trained, used


@pytest.mark.parametrize("bptt", STRATEGIES, ids=repr)
@pytest.mark.parametrize("name", NETS)
def test_everything_goes_to_the_current_stream(name, bptt, counting):
    of, stream = given(NETS[name]), cupy.cuda.Stream(non_blocking=True)

    with counting() as count, stream:
        train_and_use(of, bptt)

    assert set(count.streams) == {stream.ptr}
    assert count.streams[stream.ptr] == {
        "launches": count.launches.total(),
        "products": count.products,
        "fills": count.fills,
        "on_device": count.on_device,
    }


def test_the_notebook_goes_to_the_current_stream(counting):
    draw = lambda *shape: cupy.ones(shape)  # noqa: E731
    parameters = {f"W{g}": draw(H, H + I) for g in "fico"} | {f"b{g}": draw(H, 1) for g in "fico"}
    parameters |= {"Wy": draw(K, H), "by": draw(K, 1)}
    x, a0, stream = draw(I, B, T), draw(H, B), cupy.cuda.Stream(non_blocking=True)

    with counting() as count, stream:
        a, *_, caches = xpbptt.lstm_forward(x, a0, parameters)
        xpbptt.lstm_backward(a, caches)

    assert set(count.streams) == {stream.ptr}


def astray(where):
    """Make a net that does part of its work elsewhere: the checks of this file must see it."""
    recurrence = xpbptt.GRU(I, H, reset_after=False).recurrence

    def step(*arguments, **options):
        with where():
            return recurrence.step(*arguments, **options)

    return xpbptt.Net(recurrence._replace(step=step), I, H)


def test_a_step_on_the_default_stream_is_seen(counting):
    of, stream = given(astray(lambda: NULL)), cupy.cuda.Stream(non_blocking=True)
    with counting() as count, stream:
        train_and_use(of)
    assert set(count.streams) == {stream.ptr, NULL.ptr}


class Allocator:
    """A user's allocator, which remembers what it gave."""

    def __init__(self):
        self.gave = []

    def __call__(self, size):
        memory = cupy.cuda.Memory(size)
        self.gave.append(memory)
        return cupy.cuda.MemoryPointer(memory, 0)


@pytest.mark.parametrize("bptt", STRATEGIES, ids=repr)
@pytest.mark.parametrize("name", NETS)
def test_every_byte_comes_from_the_users_allocator(name, bptt, counting, arrays):
    of, mine = given(NETS[name]), Allocator()

    with counting() as count, cupy.cuda.using_allocator(mine):
        made = train_and_use(of, bptt)

    assert count.allocations == sum(memory.size > 0 for memory in mine.gave) > 0
    for array in arrays(made):
        assert any(array.data.mem is memory for memory in mine.gave)


def test_memory_from_elsewhere_is_seen(counting):
    of, mine = given(astray(lambda: cupy.cuda.using_allocator(None))), Allocator()
    with counting() as count, cupy.cuda.using_allocator(mine):
        train_and_use(of)
    assert count.allocations > len(mine.gave) > 0


class Foreign:
    """An array of another library on the same device, known by its DLPack methods alone."""

    def __init__(self, array):
        self.array, self.asked = array, []

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()

    def __dlpack__(self, **options):
        self.asked.append(options["stream"])
        return self.array.__dlpack__(**options)


def test_arrays_come_and_go_by_dlpack_without_a_copy(counting):
    """The other library is asked for the current stream, and writes are seen on both sides."""
    net, params = NETS["lstm"], NETS["lstm"].init(0, xp=cupy)
    theirs = Foreign(cupy.ones((T, B, I), dtype=cupy.float32))
    stream = cupy.cuda.Stream(non_blocking=True)

    with counting() as count, stream:
        x = cupy.from_dlpack(theirs)
    assert count.streams == {}
    assert (count.allocations, count.waits) == (0, [])
    assert theirs.asked == [stream.ptr]
    assert x.data.ptr == theirs.array.data.ptr

    y, state = net.infer(params, x)
    with counting() as count:
        back = [Foreign(cupy.from_dlpack(Foreign(array))) for array in (y, state[0].c)]
    assert (count.allocations, count.on_device, count.waits) == (0, 0, [])
    assert y.__dlpack_device__() == (2, 0)  # CUDA
    assert [each.array.data.ptr for each in back] == [y.data.ptr, state[0].c.data.ptr]

    theirs.array[...] = 0
    changed, _ = net.infer(params, x)
    expected, _ = net.infer(params, cupy.zeros_like(x))
    np.testing.assert_array_equal(changed.get(), expected.get())
    back[0].array[0] = 7
    assert np.all(y.get()[0] == 7)


def test_nothing_is_taken_by_dlpack_unasked():
    net, params = NETS["lstm"], NETS["lstm"].init(0, xp=cupy)
    theirs = Foreign(cupy.ones((T, B, I), dtype=cupy.float32))
    with pytest.raises(TypeError, match="`x` must be an array of an Array API library"):
        net.infer(params, theirs)
    assert theirs.asked == []


@pytest.mark.parametrize("library", ["numpy", "array_api_strict", "torch"])
@pytest.mark.parametrize("name", ["x", "state", "mask", "dy", "dstate", "params"])
def test_another_library_is_refused_by_name(name, library, counting):
    """Nothing goes to the host or comes from there on the way to the error."""
    other = pytest.importorskip(library, reason=f"{library} is not installed beside CuPy here")
    convert = lambda array: other.asarray(array.get())  # noqa: E731
    net = xpbptt.GRU(I, H)
    of = given(net)
    y, state, cache = net.forward(of.params, of.x)
    theirs = state[0]._replace(h=convert(state[0].h))
    weights = of.params[0]._replace(bias_hh=convert(of.params[0].bias_hh))
    x, mask, dy = convert(of.x), convert(of.mask), convert(y)
    call, named = {
        "x": (lambda: net.infer(of.params, x), r"params\[0\]\.weight_ih"),
        "state": (lambda: net.infer(of.params, of.x, (theirs,)), r"state\[0\]\.h"),
        "mask": (lambda: net.infer(of.params, of.x, None, mask), "mask"),
        "dy": (lambda: net.backward(cache, dy), "dy"),
        "dstate": (lambda: net.backward(cache, y, (theirs,)), r"dstate\[0\]\.h"),
        "params": (lambda: net.infer((weights,), of.x), r"params\[0\]\.bias_hh"),
    }[name]

    message = f"`{named}` is an array of .*: convert one of them, nothing is converted silently"
    with counting() as count, pytest.raises(TypeError, match=message) as caught:
        call()
    assert {library, "cupy"} <= {*re.findall(r"\w+", str(caught.value))}
    assert count.waits == []


def test_a_front_end_of_cupyx_scipy_signal(counting):
    """A low-pass filter before every fourth sample is kept, then an LSTM, on one stream."""
    from cupyx.scipy import signal  # noqa: PLC0415 - its import warns

    recording = np.random.default_rng(0).standard_normal((4 * T, B, I)).astype("float32")
    lowpass = signal.firwin(9, 0.2).astype(cupy.float32)
    samples, stream = cupy.asarray(recording), cupy.cuda.Stream(non_blocking=True)
    net, params = NETS["lstm"], NETS["lstm"].init(0, xp=cupy)

    with counting() as count, stream:
        x = signal.upfirdn(lowpass, samples, down=4, axis=0)
        y, _, cache = net.forward(params, x, dropout_seed=0)
        grads = net.backward(cache, y)

    assert set(count.streams) == {stream.ptr}
    assert count.waits == []
    assert {each.dtype for each in (x, y, grads.x)} == {np.dtype("float32")}
    filtered = np.apply_along_axis(np.convolve, 0, recording, lowpass.get())[::4]
    np.testing.assert_allclose(x.get(), filtered, atol=1e-6)
    expected, _, _ = net.forward(params, cupy.asarray(filtered), dropout_seed=0)
    np.testing.assert_allclose(y.get(), expected.get(), atol=1e-6)
