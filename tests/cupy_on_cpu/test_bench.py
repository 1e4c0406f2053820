"""The benchmarks on a simulated GPU, which counts launches for itself but tells no time."""

import os

import cupy
import pytest

from xpbptt import backends
from xpbptt.commands.bench import counts, ours, threads
from xpbptt.commands.bench.cases import CELLS, KINDS, Case
from xpbptt.commands.bench.problem import draw
from xpbptt.commands.main import main


@pytest.mark.parametrize("fuse", ["0", "1"])
@pytest.mark.parametrize("kind", ["train", "step"])
@pytest.mark.parametrize("cell", CELLS)
def test_calls_per_step_are_those_that_the_device_sees(monkeypatch, counting, cell, kind, fuse):
    monkeypatch.setenv("XPBPTT_FUSE", fuse)
    xp = backends.load("cupy")
    seen = []
    for steps in (4, 8):
        problem = draw(Case(kind, cell, "float32", steps, 3, 2), xp=xp, backend="cupy")
        run = ours.make(problem).run
        run()
        with counting() as count:
            run()
        seen.append((count.products, count.launches.total() + count.on_device))
    (short, long), case = seen, Case(kind, cell, "float32", 4, 3, 2)
    calls = counts.per_step(draw(case, xp=xp, backend="cupy"))
    assert calls == tuple((b - a) / 4 for a, b in zip(short, long, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_the_command(monkeypatch, capsys, kind):
    for name, value in threads.environment(1, os.environ).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(cupy.cuda, "get_elapsed_time", lambda start, stop: 1.0)
    options = ["--quick", "--seconds", "0.001", "--size", "4,3,2", "--peer", "notebook"]
    command = ["bench", "--backend", "cupy", "--kind", kind, "--cell", "lstm", *options]
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert [line.split()[1] for line in out.splitlines() if line.startswith("lstm")] == [
        "float32",
        "float64",
    ]
