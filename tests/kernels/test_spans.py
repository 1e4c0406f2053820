"""The pieces in which steps are run: any batch, any number of steps, on both sides of each limit.

The limits are made small, so that small sizes lie on both sides of them; a few cases are of the
sizes that meet the real limits.
"""

import tracemalloc
from contextlib import contextmanager

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from helpers import largest_buffer

import xpbptt
from xpbptt import Binomial, KeepAll, KeepStates, Segments, Truncated
from xpbptt._arrays.tree import leaves
from xpbptt.bptt.engines import chunks, compiled

I, H = 3, 5
NETS = {
    "lstm": xpbptt.LSTM(I, H),
    "gru-both": xpbptt.GRU(I, H, bidirectional=True),
    "gru-before": xpbptt.GRU(I, H, reset_after=False),
}
STRATEGIES = (KeepAll(), KeepStates(), Segments(), Segments(3), Binomial(2), Truncated(2))


@pytest.fixture(params=NETS)
def net(request):
    return NETS[request.param]


@pytest.fixture
def limits(monkeypatch):
    """Set the limits of what is done at once, for a `with` statement."""

    @contextmanager
    def limits(*, rows, numbers, chunk):
        with monkeypatch.context() as patch, largest_buffer(numbers):
            patch.setattr(chunks, "ROWS", rows)
            patch.setattr(chunks, "ELEMENTS", numbers)
            patch.setattr(chunks, "CHUNK", chunk)
            yield

    return limits


def make(net, steps, batch, *, masked, dtype="float64"):
    random = np.random.default_rng(steps * 10_000 + batch)
    draw = lambda *shape: random.standard_normal(shape).astype(dtype)  # noqa: E731
    x, dy = draw(steps, batch, net.input_size), draw(steps, batch, net.directions * net.hidden_size)
    return net.init(1, dtype=dtype), x, dy, random.random((steps, batch)) < 0.7 if masked else None


def everything(net, params, x, dy, mask, bptt, **watch):
    y, state, cache = net.forward(params, x, None, mask, bptt=bptt)
    return y, state, net.backward(cache, dy, state, **watch), net.infer(params, x, None, mask)


def assert_close(found, expected, tolerance):
    for (path, actual), (_, wanted) in zip(leaves(found), leaves(expected), strict=True):
        assert actual.shape == wanted.shape, path
        unit = np.max(np.abs(wanted), initial=1)
        np.testing.assert_allclose(actual / unit, wanted / unit, 0, tolerance, err_msg=str(path))


@hypothesis.given(steps=st.integers(0, 300), most=st.integers(1, 300))
def test_pieces_cover_the_steps_and_none_is_empty(steps, most):
    found = chunks.chunks(steps, most)
    assert [t for piece in found for t in range(piece.start, piece.stop)] == list(range(steps))
    lengths = {piece.stop - piece.start for piece in found}
    assert not lengths or 1 <= min(lengths) <= max(lengths) <= min(most, min(lengths) + 1)
    found = chunks.doubled(steps, most)
    assert [t for piece in found for t in range(piece.start, piece.stop)] == list(range(steps))
    lengths = [piece.stop - piece.start for piece in found]
    assert lengths == sorted(lengths, reverse=True)
    assert {length.bit_count() for length in lengths} <= {1}
    assert max(lengths, default=0) <= most


@hypothesis.given(
    steps=st.integers(1, 9),
    batch=st.integers(1, 17),
    rows=st.integers(1, 24),
    numbers=st.integers(1, 600),
    chunk=st.integers(1, 6),
    masked=st.booleans(),
    bptt=st.sampled_from(STRATEGIES),
    trace=st.booleans(),
)
@hypothesis.settings(
    max_examples=20, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
def test_any_sizes_by_any_limits(
    net, steps, batch, rows, numbers, chunk, masked, bptt, trace, eagerly, limits
):
    given = make(net, steps, batch, masked=masked)
    expected = eagerly(everything, net, *given, bptt, trace=trace)
    with limits(rows=rows, numbers=numbers, chunk=chunk):
        for run in (lambda call, *args, **more: call(*args, **more), eagerly):
            assert_close(run(everything, net, *given, bptt, trace=trace), expected, 1e-13)


@pytest.mark.parametrize(
    ("steps", "batch", "masked"),
    [(7, 1100, False), (3, 2000, True), (1, 1025, False), (4, 2048, False), (2, 4096, True)],
)
def test_large_batches(steps, batch, masked, eagerly):
    net = xpbptt.LSTM(4, 128)
    given = make(net, steps, batch, masked=masked, dtype="float32")
    found = everything(net, *given, KeepAll())
    assert_close(found, eagerly(everything, net, *given, KeepAll()), 1e-5)


@pytest.fixture
def most_at_once(monkeypatch):
    """The lengths of the pieces that a call runs through the compiled loop forward, in order."""
    pytest.importorskip("llvmlite", reason="counts what llvmlite compiles, and it is not installed")
    lengths, given = [], compiled.given

    def counting(found, inputs):
        lengths.append(len(inputs.x))
        return given(found, inputs)

    monkeypatch.setattr(compiled, "given", counting)
    return lengths


@pytest.mark.parametrize(
    ("steps", "batch", "hidden"), [(5000, 1, 32), (90, 8, 512), (100, 32, 128)]
)
@pytest.mark.parametrize("masked", [False, True], ids=["plain", "masked"])
def test_infer_takes_no_more_pieces_than_forward(steps, batch, hidden, masked, most_at_once):
    """More of them are slower: each is a product of fewer rows, and calls of Python around it."""
    net = xpbptt.LSTM(4, hidden)
    params, x, _, mask = make(net, steps, batch, masked=masked, dtype="float32")
    net.forward(params, x, None, mask)
    forward = most_at_once.copy()
    most_at_once.clear()
    net.infer(params, x, None, mask)
    assert forward
    assert len(most_at_once) <= len(forward)


def test_infer_eagerly_takes_few_pieces():
    lengths, lstm = [], xpbptt.bptt.recurrence(xpbptt.cells.LSTM)

    def project(params, x, *, xp):
        lengths.append(x.shape[0])
        return lstm.project(params, x, xp=xp)

    net = xpbptt.Net(lstm._replace(project=project), 4, 32)
    params, x, _, _ = make(net, 3000, 1, masked=False)
    net.infer(params, x)  # the first time one step is tried before
    lengths.clear()
    net.infer(params, x)
    assert lengths == [3000]


@pytest.mark.parametrize("fuse", ["0", "1"])
@pytest.mark.parametrize("masked", [False, True])
def test_the_memory_of_infer_does_not_grow_with_the_steps(fuse, masked, monkeypatch):
    monkeypatch.setenv("XPBPTT_FUSE", fuse)
    monkeypatch.setattr(chunks, "ELEMENTS", 2**13)  # of several pieces within few steps
    monkeypatch.setattr(chunks, "ROWS", 64)
    net, beside = xpbptt.LSTM(64, 64), []
    for steps in (192, 192, 576):
        params, x, _, mask = make(net, steps, 8, masked=masked, dtype="float32")
        tracemalloc.start()
        y, _ = net.infer(params, x, None, mask)
        beside.append(tracemalloc.get_traced_memory()[1] - y.nbytes)
        tracemalloc.stop()
    _, few, many = beside  # the first compiles
    assert many < 1.1 * few
    assert few < 4 * 2**13 * 4 * 8
