import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

import xpbptt
from xpbptt.commands.main import main
from xpbptt.commands.train import checkpoint, loop
from xpbptt.commands.train.display import STOPPING, Display
from xpbptt.commands.train.interrupt import Interrupt
from xpbptt.commands.train.loop import Budget, Report
from xpbptt.commands.train.train import Trainer

TEXT = "the cat sat on the mat; " * 40
SMALL = ["--hidden", "7", "--batch", "3", "--chunk", "6"]


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """An empty directory with a text in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XPBPTT_BACKEND", raising=False)
    (tmp_path / "cats.txt").write_text(TEXT)
    return tmp_path


def train(*more, steps=3, text="cats.txt"):
    return main(["train", "--text", text, *SMALL, "--steps", str(steps), *more])


def resume(*more, steps=3, text="cats.txt"):
    return main(["train", "--text", text, "--steps", str(steps), "--resume", *more])


def metadata(path="model.safetensors"):
    with safe_open(path, framework="np") as file:
        return file.metadata()["xpbptt"]


def files(place):
    return {entry.name: entry.read_bytes() for entry in place.iterdir() if entry.is_file()}


@pytest.fixture
def no_lines(monkeypatch):
    """A run of few steps has no line about the held-out text, however slow the machine."""
    monkeypatch.setattr(loop, "EVALUATE_SECONDS", 1e9)


def test_training_tells_what_it_does_saves_and_samples(no_lines, capsys):
    assert train(steps=4) == 0
    out, err = capsys.readouterr()
    assert "cats.txt: 960 characters of 11 kinds" in out
    assert "the last 96 characters: bigram" in out
    assert "LSTM(11, 7) and Linear(7, 11) on numpy" in out
    assert "saved     model.safetensors after step 4" in out
    assert "bits/char; bigram" in out
    assert len(out.split("sample\n")[1]) == 501  # and a line break
    assert err == ""
    assert checkpoint.load(Path("model.safetensors")).progress.moments.step == 4


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_ten_steps_and_ten_more_are_twenty_bit_for_bit(cell):
    shape = ["--cell", cell, "--layers", "2", "--seed", "5"]
    assert train(*shape, "--out", "straight", steps=60) == 0  # past the end of the text
    assert train(*shape, "--out", "broken", steps=50) == 0
    assert resume("broken", steps=10) == 0
    straight, broken = load_file("straight"), load_file("broken")
    assert metadata("straight") == metadata("broken")
    assert straight.keys() == broken.keys()
    for name, array in straight.items():
        np.testing.assert_array_equal(broken[name], array, err_msg=name)
    assert train(*shape, "--out", "other", "--seed", "6") == 0
    assert np.any(load_file("other")["readout.bias"] != straight["readout.bias"])


def test_where_it_resumes_from_and_saves_to(workplace):
    assert train("--out", "a") == 0
    assert resume("a", "--out", "b") == 0  # a stays
    assert checkpoint.load(workplace / "a").progress.moments.step == 3
    assert checkpoint.load(workplace / "b").progress.moments.step == 6
    assert resume("--out", "b") == 0  # the bare flag resumes from --out
    assert checkpoint.load(workplace / "b").progress.moments.step == 9
    assert resume("b") == 0  # saved where it came from
    assert checkpoint.load(workplace / "b").progress.moments.step == 12
    assert not (workplace / "model.safetensors").exists()


def test_a_model_trained_on_one_library_goes_on_on_another(xp, monkeypatch):
    monkeypatch.setattr(
        "xpbptt.commands.train.command._print_sample", lambda *_, **__: None
    )  # slow on some libraries
    name = {"jax.numpy": "jax", "array_api_strict": "array-api-strict"}.get(
        xp.__name__, xp.__name__.removeprefix("array_api_compat.")
    )
    assert train() == 0
    assert resume("--backend", name, steps=1) == 0
    assert resume(steps=1) == 0
    assert load_file("model.safetensors")["readout.bias"].dtype == np.float32


def test_options_that_say_the_same_as_the_file_are_taken():
    assert train("--cell", "gru", "--learning-rate", "0.02") == 0
    assert resume("--cell", "gru", "--learning-rate", "2e-2", *SMALL, "--seed", "0") == 0


REFUSED = {
    "--cell rnn": "--cell rnn contradicts model.safetensors, which was trained with lstm",
    "--hidden 6": "--hidden 6 contradicts model.safetensors, which was trained with 7",
    "--layers 2": "--layers 2 contradicts",
    "--batch 4": "--batch 4 contradicts",
    "--chunk 7": "--chunk 7 contradicts",
    "--learning-rate 0.5": "--learning-rate 0.5 contradicts",
    "--seed 1": "--seed 1 contradicts",
}


def assert_refused(capsys, match, arguments, code=2):
    """The command ends with one line on standard error, and nothing else anywhere."""
    before = files(Path())
    assert main(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("xpbptt: error: ")
    assert err.count("\n") == 1
    assert match in err
    assert files(Path()) == before


@pytest.fixture
def model(capsys):
    assert train() == 0
    capsys.readouterr()


@pytest.fixture
def no_step(monkeypatch):
    """A command that is refused is so before training."""
    monkeypatch.setattr(Trainer, "step", lambda *_: pytest.fail("a step was taken"))


@pytest.mark.parametrize("option", REFUSED)
def test_a_setting_that_contradicts_the_file_is_refused(model, no_step, capsys, option):
    command = ["train", "--text", "cats.txt", "--resume", *option.split()]
    assert_refused(capsys, REFUSED[option], command)


def test_another_text_is_refused(model, no_step, capsys, workplace):
    (workplace / "dogs.txt").write_text(TEXT.replace("cat", "tac"))  # the same characters
    (workplace / "birds.txt").write_text(TEXT.replace("cat", "bird"))
    for arguments in (["--text", "dogs.txt"], ["--text", "birds.txt"], []):
        command = ["train", "--resume", *arguments]
        assert_refused(capsys, "was trained on the text cats.txt, but this one", command)


def test_a_file_that_cannot_be_resumed_from_is_refused(model, no_step, capsys, workplace):
    whole = (workplace / "model.safetensors").read_bytes()
    (workplace / "half").write_bytes(whole[: len(whole) // 2])
    for name, match in [
        ("missing", "missing: No such file or directory"),
        ("half", "half is no model file, or a truncated one"),
        ("cats.txt", "cats.txt is no model file"),
    ]:
        assert_refused(capsys, match, ["train", "--text", "cats.txt", "--resume", name])
        assert_refused(capsys, match, ["sample", name])


def test_a_place_to_save_that_cannot_be_one_is_refused(no_step, capsys, workplace):
    (workplace / "directory").mkdir()
    for name, match in [
        ("cats.txt", "it would be overwritten: give another --out, or remove it"),
        ("directory", "Is a directory"),
        ("missing/model", "--out missing/model cannot be written: No such file or directory"),
        ("cats.txt/model", "Not a directory"),
    ]:
        command = ["train", "--text", "cats.txt", *SMALL, "--out", name]
        assert_refused(capsys, match, command)


def test_a_text_that_cannot_be_trained_on_is_refused(no_step, capsys, workplace):
    (workplace / "latin1.txt").write_bytes(("ä" * 900).encode("latin-1"))
    (workplace / "short.txt").write_text("too short")
    (workplace / "empty.txt").write_text("")
    for arguments, match in [
        (["missing.txt"], "--text missing.txt: No such file"),
        (["latin1.txt"], "not UTF-8"),
        (["short.txt"], "only 9 characters"),
        (["empty.txt"], "is empty"),
        (["cats.txt", "--batch", "200"], "too short"),
    ]:
        assert_refused(capsys, match, ["train", *SMALL, "--text", *arguments])


def test_a_library_that_is_not_usable_is_refused(model, no_step, capsys, monkeypatch):
    monkeypatch.setenv("XPBPTT_BACKEND", "abacus")
    for command in (
        ["train", "--text", "cats.txt", *SMALL, "--overwrite"],
        ["sample", "model.safetensors"],
    ):
        assert_refused(capsys, "`XPBPTT_BACKEND` is 'abacus', expected one of: numpy", command)

    def missing(name):
        message = f"{name} could not allocate an array"
        raise RuntimeError(message)

    monkeypatch.setattr(xpbptt.backends, "load", missing)
    command = ["train", "--text", "cats.txt", *SMALL, "--overwrite", "--backend", "cupy"]
    assert_refused(capsys, "cupy could not allocate an array", command)


def test_the_environment_chooses_the_library(capsys, monkeypatch):
    monkeypatch.setenv("XPBPTT_BACKEND", "numpy")
    asked = []
    load = xpbptt.backends.load
    monkeypatch.setattr(xpbptt.backends, "load", lambda name: asked.append(name) or load(name))
    assert train() == 0
    assert train("--backend", "numpy", "--overwrite") == 0
    monkeypatch.setattr(xpbptt.backends, "default", lambda: "torch")
    monkeypatch.setattr(xpbptt.backends, "load", lambda name: asked.append(name) or load("numpy"))
    assert train("--overwrite") == 0
    assert asked == ["numpy", "numpy", "torch"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["train", "--hidden", "0"],
        ["train", "--hidden", "2.5"],
        ["train", "--steps", "0"],
        ["train", "--seconds", "0"],
        ["train", "--seconds", "nan"],
        ["train", "--learning-rate", "inf"],
        ["train", "--learning-rate", "-1"],
        ["train", "--seed", "-1"],
        ["train", "--cell", "transformer"],
        ["train", "--backend", "abacus"],
        ["sample"],
        ["sample", "m", "--length", "0"],
        ["sample", "m", "--temperature", "-1"],
    ],
)
def test_a_command_line_that_is_none_ends_with_its_use(capsys, arguments):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "usage: xpbptt" in err
    assert "Traceback" not in err


def test_sampling_again_gives_the_same(model, capsys):
    assert main(["sample", "model.safetensors"]) == 0
    first = capsys.readouterr().out
    assert len(first) == 501
    assert main(["sample", "model.safetensors"]) == 0
    assert capsys.readouterr().out == first
    assert main(["sample", "model.safetensors", "--seed", "1"]) == 0
    assert capsys.readouterr().out != first
    command = ["sample", "model.safetensors", "--prompt", "the cat", "--length", "20"]
    assert main([*command, "--temperature", "0"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("the cat")
    assert len(out) == 28


def test_a_prompt_with_unknown_characters_is_refused(model, capsys):
    command = ["sample", "model.safetensors", "--prompt", "the Ä cat"]
    assert_refused(
        capsys, r"--prompt has characters that the model has never seen: '\xc4'", command
    )


def test_the_table_of_libraries(capsys):
    assert main(["backends"]) == 0
    out = capsys.readouterr().out
    assert out == xpbptt.backends.table() + "\n"
    assert "numpy" in out


def test_the_version(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"xpbptt {xpbptt.__version__}\n"


def raise_at(step, times, monkeypatch):
    """Press Ctrl-C `times` times within a step."""
    real, taken = Trainer.step, []

    def pressing(self, before):
        taken.append(1)
        if len(taken) == step:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
        return real(self, before)

    monkeypatch.setattr(Trainer, "step", pressing)


def test_ctrl_c_finishes_the_step_saves_and_stops(no_lines, monkeypatch, capsys):
    assert train("--out", "straight", steps=9) == 0
    capsys.readouterr()
    with monkeypatch.context() as pressed:
        raise_at(4, 1, pressed)
        assert train("--out", "stopped", steps=9) == 130
    out, err = capsys.readouterr()
    assert "saved     stopped after step 4\n" in out
    assert "sample" not in out
    assert err == f"{STOPPING}\n"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert resume("stopped", steps=5) == 0
    straight = load_file("straight")
    for name, array in load_file("stopped").items():
        np.testing.assert_array_equal(array, straight[name], err_msg=name)


def test_a_second_ctrl_c_stops_at_once_and_leaves_the_file(
    model, no_lines, monkeypatch, capsys, workplace
):
    before = files(workplace)
    raise_at(2, 2, monkeypatch)
    assert resume() == 130
    assert capsys.readouterr().err == f"{STOPPING}\nxpbptt: error: interrupted\n"
    assert files(workplace) == before


def test_ctrl_c_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupt() as interrupt:
            signal.raise_signal(signal.SIGINT)
        assert not interrupt.requested
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_training_outside_the_main_thread():
    codes = []
    thread = threading.Thread(target=lambda: codes.append(train()))
    thread.start()
    thread.join()
    assert codes == [0]


def test_a_loss_that_is_not_finite_saves_nothing(model, monkeypatch, capsys, workplace):
    before = files(workplace)
    real = Trainer.step
    monkeypatch.setattr(Trainer, "step", lambda self, b: (real(self, b)[0], np.asarray(np.nan)))
    assert resume() == 1
    assert "try a smaller --learning-rate" in capsys.readouterr().err
    assert files(workplace) == before


def test_a_disk_that_is_full_is_told_in_one_line(model, no_lines, monkeypatch, capsys, workplace):
    before = files(workplace)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert resume() == 1
    err = capsys.readouterr().err
    assert err == (
        "xpbptt: error: model.safetensors could not be written and is as it was: "
        "No space left on device\n"
    )
    assert files(workplace) == before


class Terminal(io.StringIO):
    def isatty(self):
        return True


REPORTS = [
    Report(40, 20, 1.25, train=4.5, held_out=None, held_out_is_new=False),
    Report(60, 40, 2.5, train=3.25, held_out=3.5, held_out_is_new=True),
    Report(80, 60, 99.0, train=3.125, held_out=3.5, held_out_is_new=False),
]


@pytest.mark.parametrize(
    ("budget", "shown"),
    [
        (Budget(60, None), "60/60 steps"),
        (Budget(None, 5.0), "5/5 s"),
        (Budget(60, 5.0), "60/60 steps"),
    ],
)
def test_on_a_terminal_a_bar_shows_where_training_stands(budget, shown):
    stream = Terminal()
    with Display(stream, budget, "bigram 3.35, unigram 4.67") as display:
        for report in REPORTS:
            display.show(report)
    frames = stream.getvalue().split("\r")
    numbers = "held out 3.50, train 3.12, 0:00 left, 0.606 steps/s"
    assert re.fullmatch(rf"{shown} \|[#█]{{10,}}\| {numbers}\s+", frames[-1])
    assert len(frames[-1].rstrip()) <= 80
    assert frames[-1].endswith("\n")
    assert "| train 4.50, " in stream.getvalue()


def test_elsewhere_there_is_a_line_for_each_new_number_of_the_held_out_text():
    stream = io.StringIO()
    with Display(stream, Budget(60, None), "bigram 3.35") as display:
        for report in REPORTS:
            display.show(report)
    assert stream.getvalue() == "step     60      2.5 s  train 3.25, held out 3.50 bits/char\n"


class FakeJob:
    """A job whose steps and evaluations take a second each, on a clock of its own."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        self.trainer, self.start, self.evaluated = self, self, []
        self.moments, self.step_number, self.norm = self, 0, 1.0
        monkeypatch.setattr(loop.time, "monotonic", lambda: self.now)

    def rate(self, _):
        return 0.01

    def step(self, _):
        self.now += 0.1
        self.step_number += 1
        return self._replace(), np.asarray(np.log(2) * self.step_number)

    def _replace(self):
        self.moments = type("Moments", (), {"step": self.step_number})
        return self

    def held_out_bits(self, *_):
        self.evaluated.append(round(self.now - 100, 1))
        self.now += 0.5
        return 3.0


def test_the_device_is_read_now_and_then_only(monkeypatch):
    job, reports, offers = FakeJob(monkeypatch), [], []

    def kept(_, bits):
        offers.append(bits)
        job.now += 0.7  # a saving takes a while

    loop.run(job, Budget(None, 60.0), stop=lambda: False, show=reports.append, keep=kept)
    assert 60 <= reports[-1].seconds < 60.2
    assert reports[0].step == loop.REPORT_STEPS
    assert reports[0].train == pytest.approx(sum(range(1, 21)) / 20)
    assert reports[1].train == pytest.approx(sum(range(21, 41)) / 20)
    assert len(reports) <= job.step_number / loop.REPORT_STEPS + 1
    assert job.evaluated[0] == 2.0
    gaps = np.diff(job.evaluated)
    assert 1.2 / gaps.min() <= 0.1  # what evaluating and saving cost
    assert offers == [r.held_out if r.held_out_is_new else None for r in reports[:-1]]
    assert [report.held_out_is_new for report in reports].count(True) == len(job.evaluated)


def test_the_budget():
    assert Budget(3, None).spent(3, 0.0)
    assert not Budget(3, None).spent(2, 1e9)
    assert Budget(None, 5.0).spent(1, 5.0)
    assert not Budget(None, 5.0).spent(999, 4.9)
    assert Budget(3, 5.0).spent(1, 6.0)
    assert Budget(3, 5.0).spent(3, 1.0)


def test_a_time_limit_stops_training(capsys):
    started = time.monotonic()
    assert main(["train", "--text", "cats.txt", *SMALL, "--seconds", "0.2"]) == 0
    assert time.monotonic() - started < 20
    assert "saved     model.safetensors after step" in capsys.readouterr().out


def test_without_options_the_text_is_python_s_documentation(capsys, monkeypatch):
    budgets = []
    run = loop.run

    def short(job, budget, **how):
        budgets.append(budget)
        return run(job, Budget(2, None), **how)

    monkeypatch.setattr(loop, "run", short)
    assert main(["train"]) == 0
    out = capsys.readouterr().out
    assert budgets == [Budget(None, 45.0)]
    assert "pydoc_data.topics" in out
    assert ", 128) and Linear(128, " in out


# Where the package lies: the commands below run in another directory.
HOME = str(Path(xpbptt.__file__).parents[1])


@contextmanager
def python(*arguments, **environment):
    """Start a Python in which Ctrl-C works, whatever the tests were started from."""
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from xpbptt.commands.main import main; sys.exit(main())"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": HOME, **environment},
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def finished(*arguments):
    """Run Python to its end."""
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": HOME},
    )


def test_a_real_ctrl_c_in_a_real_process(workplace):
    with python("train", "--text", "cats.txt", *SMALL, "--seconds", "300") as process:
        assert process.stdout.readline().startswith("text")
        while "model" not in process.stdout.readline():
            pass
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "saved     model.safetensors after step" in out
    assert "Traceback" not in err
    assert checkpoint.load(workplace / "model.safetensors").progress.moments.step > 0


def test_the_module_is_the_command():
    done = finished("-m", "xpbptt", "sample", "missing")
    assert done.returncode == 2
    assert done.stderr == "xpbptt: error: missing: No such file or directory\n"


def test_a_reader_that_goes_away_is_no_error(model):
    with python("sample", "model.safetensors", "--length", "300000") as process:
        assert process.stdout.read(1)
        process.stdout.close()
        err = process.stderr.read()
        assert (process.wait(timeout=60), err) == (1, "")


def test_what_the_terminal_cannot_show_is_shown_otherwise(workplace):
    (workplace / "cats.txt").write_text("ä😀ö" * 300, encoding="utf-8")
    assert train() == 0
    arguments = ["sample", "model.safetensors", "--length", "30"]
    with python(*arguments, PYTHONIOENCODING="ascii") as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert "\\xe4" in out


def test_the_progress_bar_and_the_file_format_are_imported_on_use():
    code = "import sys, xpbptt.commands.main; print({'tqdm', 'safetensors'} & set(sys.modules))"
    assert finished("-c", code).stdout == "set()\n"
