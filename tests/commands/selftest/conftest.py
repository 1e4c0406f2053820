"""The command in this process, quick and beside nobody."""

import pytest

from xpbptt.commands.bench import peers
from xpbptt.commands.main import main
from xpbptt.commands.selftest import command


@pytest.fixture
def selftest(monkeypatch, capsys, tmp_path):
    """Run the command; return its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XPBPTT_BACKEND", raising=False)
    monkeypatch.setattr(peers, "NAMES", ("notebook",))

    def run(*arguments, quick=True):
        code = main(["selftest", *(["--quick"] if quick else []), *arguments])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def only(monkeypatch):
    """Leave all modules of checks out but those that are given, and the times."""

    def choose(*modules):
        for name in ("CHECKS", "BUDGETS"):
            kept = [module for module in getattr(command, name) if module in modules]
            monkeypatch.setattr(command, name, kept)
        monkeypatch.setattr(command.times, "checks", lambda *_: iter(()))

    return choose
