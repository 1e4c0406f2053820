"""A whole sequence in one compiled call, against the cell as it is written.

The sizes lie on both sides of what the compiled code treats apart: vectors and tiles that are not
full, one row, one step, one thread.
"""

import os
import subprocess
import sys
import threading
from functools import cache, partial
from operator import itemgetter
from typing import NamedTuple

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

import xpbptt
from xpbptt import KeepAll, Segments, Truncated
from xpbptt._arrays.tree import leaves, map_leaves

pytest.importorskip("llvmlite", reason="compiles with llvmlite, which is not installed")

TOLERANCE = {"float32": 3e-5, "float64": 1e-12}
DTYPES = pytest.mark.parametrize("dtype", list(TOLERANCE))
MAKE = {"rnn": xpbptt.RNN, "lstm": xpbptt.LSTM, "gru": xpbptt.GRU}


class One(NamedTuple):
    h: object


@cache
def many(count):
    """A cell of so many gates: h is the mean of tanh(u + k v) over the gates, with extra h."""
    names = [f"g{k}" for k in range(count)]
    gates = NamedTuple("Gates", [(name, object) for name in names])
    own = NamedTuple("Own", [("keep", object)])  # noqa: UP014 - likewise

    def forward(u, v, state, *, extra, xp):
        parts = tuple(xp.tanh(a + (1 + 0.25 * k) * b) for k, (a, b) in enumerate(zip(u, v)))  # noqa: B905
        return One(sum(parts) / count + extra.keep * state.h), parts

    def backward(residuals, state, new, dnew, *, extra, xp):
        du = gates(*(dnew.h / count * (1 - part * part) for part in residuals))
        dv = gates(*((1 + 0.25 * k) * each for k, each in enumerate(du)))
        return du, dv, One(dnew.h * extra.keep), own(dnew.h * state.h)

    return xpbptt.Cell(f"{count} gates", gates, One, forward, backward, extra=lambda H: own((H,)))


def cell_of(name):
    return many(int(name)) if name.isdecimal() else MAKE[name](1, 1).cell


@pytest.fixture
def limits(monkeypatch):
    """The modules whose constants say how much is done at once; monkeypatch puts them back."""
    from xpbptt.kernels.llvm import call, loops  # noqa: PLC0415

    monkeypatch.delenv("XPBPTT_FUSE", raising=False)
    return lambda **constants: [
        monkeypatch.setattr(loops if name == "KEPT" else call, name, value)
        for name, value in constants.items()
    ]


def numbers(net, dtype, steps, batch, *, masked=False):
    random = np.random.default_rng([steps, batch, net.hidden_size, net.input_size])
    x = random.standard_normal((steps, batch, net.input_size)).astype(dtype)
    mask = random.random((steps, batch)) < 0.7 if masked else None
    return net.init(1, dtype=dtype), x, mask


def everything(net, params, x, mask=None, bptt=KeepAll(), clip_step=None, *, trace=False):  # noqa: B008
    """Return all that a net computes: outputs, inference, a step and the gradients."""
    y, state, cache_ = net.forward(params, x, mask=mask, bptt=bptt)
    dy = np.random.default_rng(5).standard_normal(y.shape).astype(y.dtype)
    found = net.backward(cache_, dy, state, clip_step=clip_step, trace=trace)
    streamed = net.step(params, x[0], state) if len(x) and net.directions == 1 else None
    return y, state, net.infer(params, x, mask=mask), streamed, found


def eager(*arguments, **options):
    before = os.environ.get("XPBPTT_FUSE")
    os.environ["XPBPTT_FUSE"] = "0"
    try:
        return everything(*arguments, **options)
    finally:
        os.environ.pop("XPBPTT_FUSE")
        if before is not None:
            os.environ["XPBPTT_FUSE"] = before


def assert_close(found, expected, dtype):
    pairs = list(zip(leaves(found), leaves(expected), strict=True))
    assert pairs
    for (path, one), (_, other) in pairs:
        assert (one.shape, one.dtype) == (other.shape, other.dtype), path
        unit = np.max(np.abs(other), initial=1)
        np.testing.assert_allclose(one / unit, other / unit, 0, TOLERANCE[dtype], err_msg=str(path))


def assert_bits(found, expected):
    for (path, one), (_, other) in zip(leaves(found), leaves(expected), strict=True):
        assert one.tobytes() == other.tobytes(), path


def compare(net, dtype, steps, batch, *, masked=False, change=lambda x: x, **options):
    params, x, mask = numbers(net, dtype, steps, batch, masked=masked)
    x = change(x)
    expected = eager(net, params, x, mask, **options)
    assert_close(everything(net, params, x, mask, **options), expected, dtype)


@pytest.mark.parametrize("steps", [1, 2, 3, 8])
def test_the_state_after_infer(steps):
    """Of what is not kept for all steps, that of even and that of odd steps are kept in turn."""
    net = xpbptt.LSTM(3, 5, num_layers=2)
    params = net.init(0, dtype="float64")
    x = np.random.default_rng(steps).standard_normal((steps, 2, 3))
    y, state, _ = net.forward(params, x)
    found, last = net.infer(params, x)
    np.testing.assert_allclose(found, y, atol=1e-14)
    for mine, expected in zip(last, state, strict=True):
        np.testing.assert_allclose(np.stack(mine), np.stack(expected), atol=1e-14)


def test_numpy_runs_the_loop_of_a_whole_sequence(limits):
    from xpbptt.bptt.engines import engine  # noqa: PLC0415
    from xpbptt.kernels.llvm.target import SEQUENCE  # noqa: PLC0415

    limits()
    net = xpbptt.LSTM(3, 5)
    params, x, _ = numbers(net, "float32", 4, 2)
    chosen = engine.choose(net.cell, ("record",), params[0], x, xp=net_namespace())
    assert chosen.name == SEQUENCE.name == "sequence"


def net_namespace():
    import array_api_compat  # noqa: PLC0415

    return array_api_compat.array_namespace(np.ones(1))


# Lanes are 8 and 16, 4 and 8 or 2 and 4; panels 1 to 4 of them; tiles 2 to 10 rows.
SIZES = [
    *((h, 3, 4) for h in (1, 4, 5, 8, 9, 16, 17, 33, 64, 65)),
    *((5, i, 4) for i in (1, 8, 17, 33, 65)),
    *((5, 3, b) for b in (1, 2, 3, 5, 7, 10, 11, 13, 21)),
]


@DTYPES
@pytest.mark.parametrize("name", [*MAKE, "1", "2", "3", "5", "13"])
def test_sizes_on_both_sides_of_every_constant(name, dtype, limits):
    limits()
    for hidden, inputs, batch in SIZES:
        net = xpbptt.Net(cell_of(name), inputs, hidden)
        compare(net, dtype, 4, batch, masked=(hidden + batch) % 2 == 0, trace=True)


@DTYPES
@pytest.mark.parametrize("batch", [63, 64, 65, 129])
def test_as_many_rows_as_are_packed_at_once_for_a_gradient_and_some_more(dtype, batch, limits):
    limits()
    compare(xpbptt.LSTM(17, 13), dtype, 4, batch, masked=False)  # 252, 256, 260, 516 rows of 52


@DTYPES
@pytest.mark.parametrize("steps", [0, 1, 2])
@pytest.mark.parametrize("masked", [False, True])
def test_few_steps(dtype, steps, masked, limits):
    limits()
    for make in MAKE.values():
        compare(make(3, 5), dtype, steps, 4, masked=masked)
        compare(make(3, 5), dtype, steps, 0, masked=masked)


@DTYPES
@pytest.mark.parametrize("kept", [1, 2**10, 2**12, 2**30])
def test_chunks_of_the_products_of_the_input(dtype, kept, limits):
    limits(KEPT=kept)
    for batch in (1, 3):
        params, x, mask = numbers(xpbptt.GRU(3, 5), dtype, 11, batch, masked=True)
        found = everything(xpbptt.GRU(3, 5), params, x, mask)
        limits(KEPT=2**18)
        assert_bits(found, everything(xpbptt.GRU(3, 5), params, x, mask))
        limits(KEPT=kept)
        assert_close(found, eager(xpbptt.GRU(3, 5), params, x, mask), dtype)


LAYOUTS = {
    "reversed": itemgetter(slice(None, None, -1)),
    "every second step": lambda x: np.repeat(x, 2, axis=0)[::2],
    "every second sequence": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "sequences backwards": lambda x: x[:, ::-1],
    "inputs backwards": lambda x: x[..., ::-1],
    "every second number": lambda x: np.repeat(x, 2, axis=2)[..., ::2],
    "batch first": lambda x: np.ascontiguousarray(x.swapaxes(0, 1)).swapaxes(0, 1),
    "Fortran": np.asfortranarray,
    "one sequence for all": lambda x: np.broadcast_to(x[:, :1], x.shape),
    "a part of a record": lambda x: np.rec.fromarrays([np.zeros(x.shape, "u1"), x]).f1,
    "not to be written": lambda x: np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
}


@DTYPES
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_an_input_that_lies_otherwise(layout, dtype, limits):
    limits()
    for batch in (1, 4):
        for both in (False, True):
            net = xpbptt.LSTM(3, 5, bidirectional=both)
            params, x, mask = numbers(net, dtype, 7, batch, masked=True)
            lying = layout(x)
            found = everything(net, params, lying, mask)
            plain = np.array(lying, dtype=dtype, order="C", copy=True)
            assert_bits(found, everything(net, params, plain, mask))
            assert_close(found, eager(net, params, plain, mask), dtype)


@DTYPES
def test_arrays_in_the_other_byte_order(dtype, limits):
    limits()
    net = xpbptt.LSTM(3, 5, 2)
    params, x, mask = numbers(net, dtype, 7, 4, masked=True)
    turned = lambda array: array.astype(array.dtype.newbyteorder())  # noqa: E731
    found = everything(net, map_leaves(turned, params), turned(x), mask)
    for (path, one), (_, other) in zip(
        leaves(found), leaves(eager(net, params, x, mask)), strict=True
    ):
        unit = np.max(np.abs(other), initial=1)
        np.testing.assert_allclose(one / unit, other / unit, 0, TOLERANCE[dtype], err_msg=str(path))


@DTYPES
@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_nan_in_the_padding_reaches_nothing(make, dtype, limits):
    limits()
    net = make(3, 17)
    params, x, mask = numbers(net, dtype, 9, 5, masked=True)
    spoilt = np.where(mask[..., None], x, np.asarray(np.nan, dtype))
    found = everything(net, params, spoilt, mask)
    assert_close(found[:3], eager(net, params, np.where(mask[..., None], x, 0), mask)[:3], dtype)
    assert all(np.all(np.isfinite(leaf)) for _, leaf in leaves(found[4]))


def test_nan_stays_in_its_sequence(limits):
    limits()
    net = xpbptt.LSTM(3, 5)
    params, x, _ = numbers(net, "float32", 9, 13)
    expected, _ = net.infer(params, x)
    x[4, 7, 1] = np.nan
    y, _ = net.infer(params, x)
    assert np.all(np.isnan(y[4:, 7]))
    clean = np.ones(y.shape, bool)
    clean[4:, 7] = False
    assert y[clean].tobytes() == expected[clean].tobytes()


@DTYPES
@pytest.mark.parametrize("clip", [None, 1e-3, 0.3, 1e6])
@pytest.mark.parametrize("bptt", [KeepAll(), Segments(3), Truncated(1), Truncated(4)], ids=str)
def test_clipping_truncation_and_strategies(dtype, clip, bptt, limits):
    limits()
    for masked in (False, True):
        for net in (xpbptt.LSTM(3, 17), xpbptt.GRU(3, 5)):
            compare(net, dtype, 9, 3, masked=masked, bptt=bptt, clip_step=clip, trace=True)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_squares_of_what_is_clipped_do_not_overflow(scale, limits):
    limits()
    net = xpbptt.LSTM(3, 5)
    params, x, _ = numbers(net, "float32", 5, 4)
    y, _, kept = net.forward(params, x)
    found = net.backward(kept, y * np.float32(scale), clip_step=0.5 * scale)
    expected = net.backward(kept, y, clip_step=0.5)
    for (path, one), (_, other) in zip(leaves(found), leaves(expected), strict=True):
        np.testing.assert_allclose(one / np.float32(scale), other, 1e-4, 1e-5, err_msg=str(path))


@pytest.fixture
def split():
    """Run with so many threads, for a `with` statement."""
    from xpbptt.kernels.llvm.call import limited  # noqa: PLC0415

    return limited


@DTYPES
@pytest.mark.parametrize("name", [*MAKE, "5"])
def test_the_bits_do_not_depend_on_the_threads(name, dtype, limits, split):
    limits(WORTH=1)
    for hidden, batch in ((5, 3), (17, 7), (33, 24)):
        net = xpbptt.Net(cell_of(name), 3, hidden)
        given = numbers(net, dtype, 6, batch, masked=True)
        options = {"trace": True, "clip_step": 0.1}
        with split(1):
            expected = everything(net, *given, **options)
        for count in (2, 3, 5):
            with split(count):
                assert_bits(everything(net, *given, **options), expected)


def test_work_is_split_where_it_is_worth_it(limits, split):
    from xpbptt.kernels.llvm import call  # noqa: PLC0415

    with split(3):
        assert call.parts(8, call.WORTH - 1) == [slice(0, 8)]
        assert call.parts(8, call.WORTH) == [slice(0, 4), slice(4, 8)]
        assert call.parts(8, 100 * call.WORTH) == [slice(0, 2), slice(2, 5), slice(5, 8)]
        assert call.parts(2, 100 * call.WORTH) == [slice(0, 1), slice(1, 2)]
    limits(WORTH=1)
    for batch in range(1, 20):
        with split(5):
            pieces = call.parts(batch, 100)
        assert [b for piece in pieces for b in range(piece.start, piece.stop)] == [*range(batch)]
        assert len(pieces) == min(5, batch)


def test_several_threads_of_python_at_once(limits, split):
    """Each of which splits its batch over the same pool."""
    limits(WORTH=1)
    nets = [make(3, hidden) for make in MAKE.values() for hidden in (5, 17)]
    given = [numbers(net, "float32", 20, 9, masked=True) for net in nets]
    results = [[] for _ in nets]

    def use(net, numbers_, found):
        found += [everything(net, *numbers_) for _ in range(10)]

    with split(3):
        expected = [everything(net, *each) for net, each in zip(nets, given, strict=True)]
        running = [
            threading.Thread(target=partial(use, *each))
            for each in zip(nets, given, results, strict=True)
        ]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
    for found, wanted in zip(results, expected, strict=True):
        assert len(found) == 10
        for each in found:
            assert_bits(each, wanted)


FORK = """
import os, numpy as np, xpbptt
from xpbptt.kernels.llvm import call
call.WORTH = 1
net = xpbptt.LSTM(3, 5)
params, x = net.init(0), np.ones((4, 6, 3), np.float32)
with call.limited(3):
    before = net.infer(params, x)[0].tobytes()  # starts the threads, which a child has not
    child = os.fork()
    same = net.infer(params, x)[0].tobytes() == before
    if child == 0:
        os._exit(7 if same else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), same)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_of_a_fork_starts_threads_of_its_own():
    command = [sys.executable, "-W", "ignore", "-c", FORK]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as parent:
        try:
            output, _ = parent.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(parent.pid, 9)  # the child, which hangs, too
            raise
    assert output.split() == [b"7", b"True"]


@hypothesis.given(
    name=st.sampled_from([*MAKE, "2", "5"]),
    dtype=st.sampled_from(list(TOLERANCE)),
    hidden=st.integers(1, 40),
    inputs=st.integers(1, 20),
    steps=st.integers(1, 5),
    batch=st.integers(1, 40),
    masked=st.booleans(),
    threads=st.integers(1, 5),
)
@hypothesis.settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
def test_any_sizes(limits, split, name, dtype, hidden, inputs, steps, batch, masked, threads):
    limits(WORTH=1)
    with split(threads):
        compare(xpbptt.Net(cell_of(name), inputs, hidden), dtype, steps, batch, masked=masked)
