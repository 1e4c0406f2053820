"""The loop `graph` on a simulated GPU: the bytes of `stepwise`, some steps a launch."""

import logging
import sys
from importlib import import_module
from threading import Thread

import cupy
import numpy as np
import pytest
from helpers import cover, host

import xpbptt
from cupy_on_cpu import counting as count_device
from cupy_on_cpu import libcublas
from xpbptt._arrays.tree import leaves, map_leaves
from xpbptt.bptt.engines import engine
from xpbptt.kernels import programs
from xpbptt.kernels.cuda import blas, graph, nodes, recorded

I = 3
CELLS = import_module("kernels.conftest").CELLS
STRATEGIES = {
    "keep-all": {},
    "keep-states": {"bptt": xpbptt.KeepStates()},
    "segments": {"bptt": xpbptt.Segments(7)},
    "truncated": {"bptt": xpbptt.Truncated(5)},
    "trace": {"trace": True},
    "clip": {"clip_step": 0.1},
}


@pytest.fixture(autouse=True)
def no_errors():
    yield
    assert not libcublas.errors


@pytest.fixture
def fresh():
    """Forget which graphs there are, before and after, and where it is called."""

    def forget():
        engine._fastest.cache_clear()
        blas.recorder.cache_clear()
        for kernel in import_module("xpbptt.kernels.find")._kernels.values():
            getattr(kernel.run, "_graphs", {}).clear()

    forget()
    yield forget
    forget()


def given(net, steps, batch, dtype, *, masked=False, seed=3):
    """Return what a pass takes, on the device."""
    random = np.random.default_rng(seed)
    draw = lambda *shape: cupy.asarray(random.standard_normal(shape).astype(dtype))  # noqa: E731
    params, x = net.init(seed, xp=cupy, dtype=dtype), draw(steps, batch, I)
    y, like = net.infer(params, x)
    state, dstate = (map_leaves(lambda part: draw(*part.shape), like) for _ in range(2))
    mask = cupy.asarray(random.random((steps, batch)) < 0.7) if masked else None
    return params, x, state, mask, draw(*y.shape), dstate


def everything(net, arrays, bptt=None, **options):
    """Return all numbers of a pass: forward, back and inference."""
    params, x, state, mask, dy, dstate = arrays
    y, last, cache = net.forward(params, x, state, mask, bptt=bptt or xpbptt.KeepAll())
    found = y, last, net.backward(cache, dy, dstate, **options), net.infer(params, x, state, mask)
    return [host(leaf) for _, leaf in leaves(found)]


def assert_same_bytes(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        assert not np.isnan(one).any()
        assert one.tobytes() == other.tobytes()


def names(net, arrays, **options):
    params, x, _, mask, *_ = arrays
    return [answer.name for answer in net.engine(params, x, mask, **options)]


@cover(
    ("cell", "steps", "batch", "hidden", "dtype", "masked", "both", "how"),
    ("lstm", "gru", "own", "free", "some", "norm"),
    (1, 31, 32, 33, 65),
    (1, 3, 37),
    (1, 5, 13),
    ("float16", "float32", "float64"),
    (False, True),
    (False, True),
    tuple(STRATEGIES),
)
def test_the_bytes_of_stepwise(
    cell, steps, batch, hidden, dtype, masked, both, how, monkeypatch, fresh
):
    net, options = xpbptt.Net(CELLS[cell], I, hidden, bidirectional=both), STRATEGIES[how]
    arrays = given(net, steps, batch, dtype, masked=masked)
    found = {}
    for name in ("stepwise", "graph"):
        monkeypatch.setenv(engine.ENGINE, name)
        assert names(net, arrays) == [name] * 3
        found[name] = everything(net, arrays, **options)
    assert_same_bytes(found["graph"], found["stepwise"])


@pytest.fixture
def lstm(monkeypatch, fresh):
    monkeypatch.setenv(engine.ENGINE, "graph")
    return xpbptt.LSTM(I, 5, num_layers=1)


def stepwise(net, arrays, monkeypatch, **options):
    with monkeypatch.context() as patch:
        patch.setenv(engine.ENGINE, "stepwise")
        return everything(net, arrays, **options)


def test_it_is_off_unless_it_is_chosen(monkeypatch):
    monkeypatch.delenv(engine.ENGINE, raising=False)
    net = xpbptt.LSTM(I, 5)
    assert "graph" not in names(net, given(net, 4, 3, "float32"))
    monkeypatch.setenv(engine.ENGINE, "sequence")
    assert "graph" not in names(net, given(net, 4, 3, "float32"))


def test_one_capture_serves_every_length_and_all_arrays(lstm, monkeypatch):
    captured, real = [], graph.capture

    def capture(task, *rest):
        captured.append(task.kind)
        return real(task, *rest)

    monkeypatch.setattr(graph, "capture", capture)
    for seed, steps in enumerate((65, 1, 32, 40)):
        arrays = given(lstm, steps, 4, "float32", seed=seed)
        assert_same_bytes(everything(lstm, arrays), stepwise(lstm, arrays, monkeypatch))
    assert sorted(captured) == ["advance", "back", "record"]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("steps", [1, 31, 32, 33, 65])
def test_what_a_pass_asks_for(steps, masked, lstm, counting):
    """A launch for 32 steps; nothing else grows with the steps, and nobody waits."""
    arrays = given(lstm, 65, 4, "float32", masked=masked)
    params, x, state, mask, dy, dstate = arrays
    x, dy, mask = x[:steps], dy[:steps], mask if mask is None else mask[:steps]
    *_, cache = lstm.forward(params, x, state, mask)
    lstm.backward(cache, dy, dstate)  # what is captured once

    with counting() as ahead:
        *_, cache = lstm.forward(params, x, state, mask)
    with counting() as back:
        lstm.backward(cache, dy, dstate)
    for count in (ahead, back):
        assert count.graphs == -(-steps // recorded.STEPS)
        assert count.nodes["product"] == count.graphs * recorded.STEPS
        assert not count.waits
    form = "masked_" if masked else ""
    assert ahead.launches.pop(f"xpbptt_LSTM_{form}graph_record_begin") == 1
    assert ahead.launches.total() <= 6
    assert back.launches.pop(f"xpbptt_LSTM_{form}graph_back_begin") == 1
    assert back.launches.total() <= 24
    assert ahead.products == 1
    assert back.products == 3
    assert ahead.allocations <= 12
    assert back.allocations <= 24


def test_nothing_is_allocated_during_a_capture(lstm, monkeypatch):
    seen, real = [], cupy.cuda.Stream.begin_capture
    ended = cupy.cuda.Stream.end_capture

    def begin(stream):
        real(stream)
        seen.append(count_device())
        seen.append(seen[-1].__enter__())

    def end(stream):
        seen[-2].__exit__(None, None, None)
        return ended(stream)

    monkeypatch.setattr(cupy.cuda.Stream, "begin_capture", begin)
    monkeypatch.setattr(cupy.cuda.Stream, "end_capture", end)
    everything(lstm, given(lstm, 3, 4, "float32"))
    counts = seen[1::2]
    assert len(counts) == 3
    for count in counts:
        assert count == type(count)()


FAILING = {
    "no library": lambda patch: patch.setattr(blas, "_library", broken),
    "no workspace": lambda patch: patch.setitem(vars(libcublas), "_workspaces", Forgetful()),
    "no capture": lambda patch: patch.setattr(cupy.cuda.Stream, "begin_capture", broken),
    "no graph": lambda patch: patch.setattr(cupy.cuda.Stream, "end_capture", ending_broken()),
    "no memory": lambda patch: patch.setattr(recorded, "memory", broken),
}


class Forgetful(dict):
    def __contains__(self, _):
        return False


def broken(*_):
    message = "it cannot be had"
    raise RuntimeError(message)


def ending_broken():
    real = cupy.cuda.Stream.end_capture

    def end(stream):
        real(stream)
        broken()

    return end


@pytest.mark.parametrize("name", FAILING)
def test_where_nothing_can_be_captured_stepwise_answers_and_says_why(
    name, lstm, monkeypatch, caplog, fresh
):
    arrays = given(lstm, 33, 4, "float32")
    expected = stepwise(lstm, arrays, monkeypatch)
    FAILING[name](monkeypatch)
    fresh()
    with caplog.at_level(logging.WARNING, "xpbptt"):
        answers = lstm.engine(*arrays[:2])
        found = everything(lstm, arrays)
    assert [each.name for each in answers] == ["stepwise"] * 3
    assert all("could not be captured: RuntimeError" in each.reason for each in answers)
    assert sum("slower" in each.getMessage() for each in caplog.records) == 3
    assert_same_bytes(found, expected)
    assert not cupy.cuda.get_current_stream().is_capturing()


def test_a_graph_that_is_gone_after_the_engine_was_chosen(lstm, monkeypatch):
    """As on a second device, where nothing has been captured yet and nothing can be."""
    arrays = given(lstm, 33, 4, "float32")
    expected = everything(lstm, arrays)
    monkeypatch.setattr(graph.Steps, "graph", lambda *_: "none here")
    assert_same_bytes(everything(lstm, arrays), expected)


def test_a_capture_under_way_is_refused_and_does_not_decide_for_later(lstm, monkeypatch, fresh):
    arrays = given(lstm, 33, 4, "float32")
    fresh()
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        with pytest.raises(RuntimeError, match="end the capture"):
            lstm.infer(*arrays[:2])
        stream.end_capture()
    stream.begin_capture()  # another stream than the current one
    assert names(lstm, arrays) == ["graph"] * 3
    found = everything(lstm, arrays)
    stream.end_capture()
    assert_same_bytes(found, stepwise(lstm, arrays, monkeypatch))


def test_resets_and_recurrent_dropout_go_step_by_step(lstm):
    params, x, *_ = given(lstm, 9, 4, "float32")
    reset = cupy.asarray(np.random.default_rng(0).random((9, 4)) < 0.3)
    answer = lstm.engine(params, x, reset=reset).forward
    assert answer.name == "stepwise"
    assert "step by step" in answer.reason
    noisy = xpbptt.LSTM(I, 5, recurrent_dropout=0.5)
    assert noisy.engine(params, x).forward.name == "stepwise"


def test_there_is_an_end_to_the_graphs_of_a_program(lstm, monkeypatch):
    monkeypatch.setattr(graph, "MOST", 2)
    found = [lstm.engine(*given(lstm, 2, batch, "float32")[:2]).infer for batch in (2, 3, 4, 2)]
    assert [each.name for each in found] == ["graph", "graph", "stepwise", "graph"]
    assert found[2].reason == "2 graphs of this program are there, and no more are captured"


def test_another_compute_type_has_a_graph_of_its_own(lstm, monkeypatch):
    asked = []
    monkeypatch.setattr(graph, "computed", lambda dtype: asked.append(dtype) or len(asked))
    arrays = given(lstm, 2, 3, "float32")
    for _ in range(2):
        lstm.infer(*arrays[:2])
    graphs = [
        each.run._graphs
        for each in import_module("xpbptt.kernels.find")._kernels.values()
        if hasattr(each.run, "_graphs")
    ]
    assert max(map(len, graphs)) > 1


@pytest.fixture
def calls(monkeypatch):
    """Note what streams wait for and record, and the captures: everything is done at once here."""
    found = []

    def noted(name):
        real = getattr(cupy.cuda.Stream, name)

        def call(stream, *event):
            found.append((name, stream.ptr, *(each.ptr for each in event)))
            return real(stream, *event)

        monkeypatch.setattr(cupy.cuda.Stream, name, call)

    for name in ("wait_event", "record", "begin_capture", "end_capture"):
        noted(name)
    return found


def test_a_capture_waits_for_the_graphs_that_work_in_the_same_memory(lstm, calls, fresh):
    arrays = given(lstm, 3, 4, "float32")
    fresh()
    calls.clear()
    lstm.infer(*arrays[:2])
    shared, here = blas.recorder(0), cupy.cuda.get_current_stream().ptr
    there, done = shared.stream.ptr, shared.done.ptr
    assert calls == [
        ("wait_event", there, done),
        ("begin_capture", there),
        ("end_capture", there),
        ("record", there, done),
        ("wait_event", here, done),
        ("record", here, done),
    ]


def test_on_another_stream_it_waits_for_its_last_use(lstm, calls):
    arrays = given(lstm, 40, 4, "float32")
    lstm.infer(*arrays[:2])
    calls.clear()
    streams = [cupy.cuda.Stream(non_blocking=True) for _ in range(2)]
    for stream in streams:
        with stream, count_device() as count:
            lstm.infer(*arrays[:2])
        assert set(count.streams) == {stream.ptr}
        assert count.streams[stream.ptr]["graphs"] == 2
    done = blas.recorder(0).done.ptr
    assert calls == [
        (name, stream.ptr, done) for stream in streams for name in ("wait_event", "record")
    ]


def test_threads_take_turns(lstm, monkeypatch):
    """A graph has one set of buffers: two passes at once would mix their numbers."""
    arrays = [given(lstm, 40, 4, "float32", seed=seed) for seed in range(2)]
    expected = [stepwise(lstm, each, monkeypatch) for each in arrays]
    found, before = [[], []], sys.getswitchinterval()

    def work(k):
        with cupy.cuda.Stream(non_blocking=True):
            found[k] += [everything(lstm, arrays[k]) for _ in range(5)]

    sys.setswitchinterval(1e-6)
    try:
        threads = [Thread(target=work, args=(k,)) for k in range(2)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    finally:
        sys.setswitchinterval(before)
    for ours, theirs in zip(found, expected, strict=True):
        assert len(ours) == 5
        for each in ours:
            assert_same_bytes(each, theirs)


def test_its_memory_is_not_the_allocators(lstm, monkeypatch):
    """What an allocator gives may be taken back, as by `free_all_blocks`, and used by others."""
    arrays, taken = given(lstm, 40, 4, "float32"), []

    def allocate(size):
        taken.append((memory := cupy.cuda.Memory(size)).ptr)
        return cupy.cuda.MemoryPointer(memory, 0)

    with cupy.cuda.using_allocator(allocate):
        found = everything(lstm, arrays)
    assert taken
    run = max(
        import_module("xpbptt.kernels.find")._kernels.values(),
        key=lambda each: len(getattr(each.run, "_graphs", {})),
    ).run
    (kept,) = run._graphs.values()
    ours = {each.data.ptr for each in (kept.weight, kept.staged, kept.out)} | {kept.frame.ptr}
    assert not ours & set(taken)
    assert_same_bytes(found, stepwise(lstm, arrays, monkeypatch))
    assert_same_bytes(everything(lstm, arrays), found)


PLANTED = {  # what is wrong in the kernels, and the pass that shows it
    "every node does the first step": ("frame.done + k", "frame.done + 0", {}),
    "the steps are not counted": ("frame->done += steps;", "", {}),
    "the last step is left out": ("n >= frame.steps", "n >= frame.steps - 1", {}),
    "back begins at the first step": ("frame.steps - 1 - n", "n", {}),
    "the product reads what was staged first": ("frame.staged[", "if (n == 0) frame.staged[", {}),
    "nothing is cut off": ("const bool cut = n", "const bool cut = false && n", {"bptt": 5}),
    "what comes from above is cut off": ("cut = n && ", "cut = ", {"bptt": 5}),
    "the cut is a step late": ("frame.first + t + 1)", "frame.first + t)", {"bptt": 5}),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_shows(name, lstm, monkeypatch):
    old, new, options = PLANTED[name]
    options = {"bptt": xpbptt.Truncated(options["bptt"])} if options else {}
    steps = 40 if name != "what comes from above is cut off" else 5
    arrays = given(lstm, steps, 4, "float64")
    expected = stepwise(lstm, arrays, monkeypatch, **options)
    real, planted = nodes.source, []

    def source(*arguments):
        text = real(*arguments)
        planted.append(old in text)
        return text.replace(old, new)

    monkeypatch.setattr(nodes, "source", source)
    finding = import_module("xpbptt.kernels.find")
    monkeypatch.setattr(finding, "_kernels", {})
    finding._compiled.cache_clear()
    engine._fastest.cache_clear()
    try:
        found = everything(lstm, arrays, **options)
    finally:
        finding._compiled.cache_clear()
        engine._fastest.cache_clear()
    assert any(planted)
    with pytest.raises(AssertionError):
        assert_same_bytes(found, expected)


def test_a_program_without_a_product_has_none_in_its_graph(monkeypatch, fresh):
    monkeypatch.setenv(engine.ENGINE, "graph")
    net = xpbptt.Net(CELLS["free"], I, 5)
    task = programs.task(net.cell, "record")
    assert not task.recurrent
    arrays = given(net, 33, 4, "float32")
    net.infer(*arrays[:2])
    with count_device() as count:
        net.infer(*arrays[:2])
    assert count.graphs == 2
    assert "product" not in count.nodes
