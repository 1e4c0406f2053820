"""A model that is there is not lost to a second run, a second process or a signal."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import xpbptt
from xpbptt._arrays import atomic
from xpbptt.commands.main import main
from xpbptt.commands.train import checkpoint, loop
from xpbptt.commands.train.job import Job
from xpbptt.commands.train.model import CharModel

HOME = str(Path(xpbptt.__file__).parents[1])
TRAIN = ["train", "--text", "cats.txt", "--hidden", "7", "--batch", "3", "--chunk", "6"]


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """An empty directory with a text in it, and Ctrl-C as a terminal's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XPBPTT_BACKEND", raising=False)
    monkeypatch.setenv("XPBPTT_FUSE", "0")
    (tmp_path / "cats.txt").write_text("the cat sat on the mat; " * 40)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def train(*more, steps=3, out="model"):
    return main([*TRAIN, "--steps", str(steps), "--out", out, *more])


def stored(path="model"):
    return checkpoint.load(Path(path))


def test_a_model_is_replaced_on_request_only(capsys):
    assert train() == 0
    before, bits = Path("model").read_bytes(), stored().held_out
    assert f"held out  {bits:.2f} bits/char" in capsys.readouterr().out
    assert train(steps=1) == 2
    assert capsys.readouterr().err == (
        f"xpbptt: error: model holds a model after step 3, {bits:.2f} bits/char held out: go on "
        "with it by --resume, replace it by --overwrite, or give another --out\n"
    )
    assert Path("model").read_bytes() == before
    assert train("--overwrite", steps=1) == 0
    assert stored().progress.moments.step == 1


def test_going_on_needs_no_leave_but_another_model_does(capsys):
    assert train() == 0
    assert train(out="other") == 0
    again = ["train", "--text", "cats.txt", "--steps", "2", "--resume", "model"]
    assert main(again) == 0
    assert main([*again, "--out", "other"]) == 2
    assert "other holds a model after step 3" in capsys.readouterr().err
    assert stored("other").progress.moments.step == 3


def test_two_processes_do_not_train_one_file(capsys):
    code = "from xpbptt._arrays import atomic; from pathlib import Path; import sys\n"
    code += "with atomic.locked(Path('model')): print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": HOME},
    ) as other:  # fmt: skip
        assert other.stdout.readline() == "held\n"
        assert train() == 2
        said = "another process is training model: wait for it, or give another --out"
        assert capsys.readouterr().err == f"xpbptt: error: {said}\n"
        other.communicate()
    assert train() == 0
    assert {each.name for each in Path().iterdir()} == {"cats.txt", "model", "model.jsonl"}


def test_the_lock_of_a_killed_process_holds_nobody():
    Path(".model.lock").touch()
    twice = (atomic.locked(Path("model")) for _ in range(2))
    with next(twice), pytest.raises(BlockingIOError), next(twice):
        pytest.fail("locked twice")
    assert not Path(".model.lock").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_during_the_evaluation_is_acknowledged_and_ends_it(
    number, code, monkeypatch, capsys
):
    monkeypatch.setattr(loop, "EVALUATE_SECONDS", 0)
    monkeypatch.setattr(loop, "REPORT_STEPS", 1)
    real, read = CharModel.read, []

    def pressed(self, *arguments, **options):
        read.append(1)
        if len(read) == 2:
            signal.raise_signal(number)
            assert "stopping: " in capsys.readouterr().err
        return real(self, *arguments, **options)

    monkeypatch.setattr(CharModel, "read", pressed)
    assert train(steps=50) == code
    out = capsys.readouterr().out
    assert "saved     model after step 1\n" in out
    assert "go on     python -m xpbptt train --text cats.txt --resume model\n" in out
    assert ("held out  " in out.split("saved")[1]) == (number == signal.SIGINT)
    assert (stored().held_out is None) == (number == signal.SIGTERM)


def test_ctrl_c_during_the_last_evaluation_leaves_the_model(monkeypatch, capsys):
    def pressed(self, progress, stop=None):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Job, "held_out_bits", pressed)
    assert train() == 130
    assert capsys.readouterr().err.endswith("xpbptt: error: interrupted\n")
    assert stored().progress.moments.step == 3


AT_IMPORT = """
import os, signal, sys
class Press:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ.get("PRESS_AT"):
            os.environ.pop("PRESS_AT")
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Press())
signal.signal(signal.SIGINT, signal.default_int_handler)
"""


@pytest.mark.parametrize(
    "name", ["numpy", "xpbptt.nets.net", "xpbptt.commands.main", "xpbptt.commands.train.command"]
)
@pytest.mark.parametrize("script", [False, True], ids=["module", "script"])
def test_ctrl_c_while_it_starts_leaves_no_traceback(name, script, tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    (place / "sitecustomize.py").write_text(AT_IMPORT)
    (tmp_path / "xpbptt").write_text("from xpbptt.commands.main import main\nmain()\n")
    command = [str(tmp_path / "xpbptt")] if script else ["-m", "xpbptt"]  # as pip installs it
    done = subprocess.run(
        [sys.executable, *command, "backends"],
        env={**os.environ, "PYTHONPATH": f"{place}{os.pathsep}{HOME}", "PRESS_AT": name},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode in {130, -signal.SIGINT}
    assert done.stderr in {"", "xpbptt: error: interrupted\n"}


def shell(line):
    return subprocess.run(
        ["sh", "-c", line.replace("xpbptt", f"{sys.executable} -m xpbptt")],
        env={**os.environ, "PYTHONPATH": HOME},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_output_that_cannot_be_written_ends_in_one_line():
    assert train() == 0
    done = shell("xpbptt sample model > /dev/full")
    assert (done.returncode, done.stderr) == (
        1, "xpbptt: error: output: No space left on device\n"
    )  # fmt: skip
    done = shell("xpbptt train --text cats.txt --steps 2 --resume model >&-")
    assert (done.returncode, done.stderr) == (0, "")
    assert stored().progress.moments.step == 5
