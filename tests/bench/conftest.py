import os

import pytest

from xpbptt.commands.bench import threads
from xpbptt.commands.main import main

TINY = ["--quick", "--seconds", "0.001", "--size", "4,3,2"]


@pytest.fixture
def bench(monkeypatch, capsys, tmp_path):
    """Run the command in this process, as it runs in the one that it starts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XPBPTT_BACKEND", raising=False)
    for name, value in threads.environment(1, os.environ).items():
        monkeypatch.setenv(name, value)

    def run(*arguments, tiny=True):
        code = main(["bench", *(TINY if tiny else ()), *arguments])
        return code, *capsys.readouterr()

    return run
