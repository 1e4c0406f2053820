"""Clocks, and runs that take turns. No test asserts a time of this machine."""

import sys
from types import SimpleNamespace

import pytest

from xpbptt.commands.bench import report, timing
from xpbptt.commands.bench.cases import Case
from xpbptt.commands.bench.measure import Entry, Row
from xpbptt.commands.bench.timing import Clock, Runner, Times


def told(durations):
    """A clock that shows the durations it was told."""
    return Clock(lambda run: (run(), durations.pop(0))[1], lambda result: result)


def test_runs_take_turns_and_the_median_counts():
    calls = []
    runners = {
        "a": Runner(lambda: calls.append("a"), told([3.0, 1.0, 9.0, 2.0, 4.0])),
        "b": Runner(lambda: calls.append("b"), told([6.0, 5.0]), most=2),
    }
    times = timing.interleave(runners, 0.0, 5)
    assert calls == ["a", "b", "a", "b", "a", "a", "a"]
    assert (times["a"].median, times["a"].runs) == (3.0, 5)
    assert (times["b"].median, times["b"].runs) == (5.5, 2)


def test_rounds_go_on_for_as_long_as_asked(monkeypatch):
    now = iter(range(1000))
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(now))
    times = timing.interleave({"a": Runner(int, told([1.0] * 100))}, 30, 1)
    assert 5 < times["a"].runs < 30


def test_ratios_are_those_of_the_medians():
    entry = Entry(Times(0.004, 7, 1.0), 1e-7, "torch 0")
    case = Case("train", "gru", "float32", 5, 3, 2)
    row = Row(case, Times(0.003, 9, 1.0), Times(0.0015, 9, 1.0), {"torch": entry}, 2048, "eager")
    assert report.line(row).split() == [
        "gru", "float32", "5", "3", "2", "3.00", "1.50", "2.00", "4.00", "0.75", "2", "KiB",
        "eager",
    ]  # fmt: skip
    assert report.title("train", ["torch"])
    record = report._record(row)
    assert record["peers"]["torch"]["ratio"] == 0.75
    assert record["floor"]["ratio"] == 2.0
    assert list(report.foot([row], 1, "jax")) == []
    busy = row._replace(floor=Times(0.0015, 9, 3.0))
    assert list(report.foot([busy], 1, "jax")) == ["floor kept up to 3.0 cores busy, 1 asked for"]


def test_a_step_of_a_stream_is_shown_in_microseconds():
    case = Case("step", "lstm", "float32", 100, 1, 32)
    row = Row(case, Times(0.002, 9, 1.0), Times(0.001, 9, 1.0), {}, 256, "stepwise")
    columns = report.line(row).split()
    assert columns[2:8] == ["1", "1", "32", "20.00", "10.00", "2.00"]
    assert columns[-1] == "stepwise"


@pytest.mark.parametrize("library", ["cupy", "torch"])
def test_a_gpu_is_timed_by_events_from_idle_until_done(monkeypatch, library):
    log = []

    class Event:
        def __init__(self, enable_timing=library == "cupy"):
            assert enable_timing

        def record(self):
            log.append("record")

        def synchronize(self):
            log.append("wait")

        def elapsed_time(self, other):
            return 250.0

    idle = lambda: log.append("idle")  # noqa: E731
    cuda = SimpleNamespace(
        Event=Event,
        synchronize=idle,
        Device=lambda: SimpleNamespace(synchronize=idle),
        get_elapsed_time=Event.elapsed_time,
    )
    monkeypatch.setitem(sys.modules, library, SimpleNamespace(cuda=cuda))
    clock = timing.clock(library, on_gpu=True)
    assert clock.measure(lambda: log.append("run")) == 0.25
    assert log == ["idle", "record", "run", "record", "wait"]
    clock.wait(None)
    assert log[-1] == "idle"


def test_the_clock_of_the_host_stops_when_the_result_is_there():
    log = []
    clock = timing.host_clock(log.append)
    assert clock.measure(lambda: log.append("run") or "result") >= 0
    assert log == ["run", "result"]
