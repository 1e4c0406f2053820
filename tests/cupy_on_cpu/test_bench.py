"""The benchmarks on a simulated GPU, which counts launches for itself but tells no time."""

import cupy
import pytest

from xpbptt.commands.bench.cases import KINDS
from xpbptt.commands.main import main


@pytest.mark.parametrize("kind", KINDS)
def test_the_command(monkeypatch, capsys, kind):
    monkeypatch.setenv("XLA_FLAGS", "")  # the command changes it
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
