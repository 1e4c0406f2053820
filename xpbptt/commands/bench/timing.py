"""Clocks, and runs that take turns."""

import time
from collections.abc import Callable, Mapping
from importlib import import_module
from statistics import median
from typing import Any, NamedTuple

Run = Callable[[], Any]


class Clock(NamedTuple):
    """How the runs of one library are timed."""

    # ``run → seconds``, from an idle device until all that the run started is done.
    measure: Callable[[Run], float]
    # Takes what a run returned, and returns when the device has computed it.
    wait: Callable[[Any], Any]


class Times(NamedTuple):
    """What was measured of one contestant."""

    median: float  # the median of its runs, in seconds
    runs: int  # how many there were
    # The processor time of the process by the time that passed: how many cores were at work.
    cores: float


class Runner(NamedTuple):
    """What takes its turn."""

    run: Run  # what is timed
    clock: Clock
    most: int | None = None  # after how many runs it stays out, where it is slow


def interleave(runners: Mapping[str, Runner], seconds: float, least: int) -> dict[str, Times]:
    """Run everyone once in each round, so that a slower minute of the machine is everyone's."""
    walls: dict[str, list[float]] = {name: [] for name in runners}
    busy = dict.fromkeys(runners, 0.0)
    spent = dict.fromkeys(runners, 0.0)
    end = time.perf_counter() + seconds
    rounds = 0
    while rounds < least or time.perf_counter() < end:
        for name, runner in runners.items():
            if runner.most is not None and rounds >= runner.most:
                continue
            start, work = time.perf_counter(), time.process_time()
            walls[name].append(runner.clock.measure(runner.run))
            busy[name] += time.process_time() - work
            spent[name] += time.perf_counter() - start
        rounds += 1
    return {
        name: Times(median(wall), len(wall), busy[name] / spent[name])
        for name, wall in walls.items()
    }


def host_clock(wait: Callable[[Any], Any] = lambda result: result) -> Clock:
    """Return the clock of the host, which stops when `wait` has waited for a run's result."""

    def measure(run: Run) -> float:
        start = time.perf_counter()
        wait(run())
        return time.perf_counter() - start

    return Clock(measure, wait)


def cupy_clock() -> Clock:
    """Return the clock of CuPy's current device: events in its current stream."""
    cuda = import_module("cupy").cuda

    def measure(run: Run) -> float:
        start, stop = cuda.Event(), cuda.Event()
        cuda.Device().synchronize()
        start.record()
        run()
        stop.record()
        stop.synchronize()
        return float(cuda.get_elapsed_time(start, stop)) / 1e3

    return Clock(measure, lambda _: cuda.Device().synchronize())


def torch_clock() -> Clock:
    """Return the clock of torch's current CUDA device: events in its current stream."""
    cuda = import_module("torch").cuda

    def measure(run: Run) -> float:
        start, stop = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
        cuda.synchronize()
        start.record()
        run()
        stop.record()
        stop.synchronize()
        return float(start.elapsed_time(stop)) / 1e3

    return Clock(measure, lambda _: cuda.synchronize())


def clock(backend: str, *, on_gpu: bool) -> Clock:
    """Return the clock of an array library."""
    if backend == "jax":
        return host_clock(import_module("jax").block_until_ready)
    if backend == "cupy":
        return cupy_clock()
    if backend == "torch" and on_gpu:
        return torch_clock()
    return host_clock()
