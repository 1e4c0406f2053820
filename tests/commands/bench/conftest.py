import pytest

from xpbptt.commands.main import main

TINY = ["--quick", "--seconds", "0.001", "--size", "4,3,2"]


@pytest.fixture
def bench(monkeypatch, capsys, tmp_path):
    """Run the command in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XPBPTT_BACKEND", raising=False)
    monkeypatch.setenv("XLA_FLAGS", "")  # the command changes it

    def run(*arguments, tiny=True):
        code = main(["bench", *(TINY if tiny else ()), *arguments])
        return code, *capsys.readouterr()

    return run
