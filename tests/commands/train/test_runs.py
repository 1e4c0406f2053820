"""What a training run leaves behind, however it ends: killed, diverged, or with nobody watching."""

import errno
import fcntl
import io
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import xpbptt
from xpbptt._arrays import atomic
from xpbptt._arrays.tree import map_leaves
from xpbptt.commands.base.errors import NotFiniteError, TrainingError
from xpbptt.commands.base.terminal import Lossy, one_line, plain, shown
from xpbptt.commands.main import main
from xpbptt.commands.train import checkpoint, keeper, log, loop
from xpbptt.commands.train.display import Display
from xpbptt.commands.train.keeper import Keeper
from xpbptt.commands.train.loop import Budget, Report
from xpbptt.commands.train.train import Trainer

HOME = str(Path(xpbptt.__file__).parents[1])
COMMAND = ["train", "--text", "cats.txt", "--hidden", "7", "--batch", "3", "--chunk", "6"]
# Saves after every step, shows a line after every step, and takes every signal.
EAGER = """
import signal, sys
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.default_int_handler if number == 2 else signal.SIG_DFL)
from xpbptt.commands.train import keeper, loop
keeper.SAVE_SECONDS = keeper.SAVE_TIMES = loop.REPORT_SECONDS = loop.EVALUATE_SECONDS = 0
loop._next = lambda started, began, now: now
from xpbptt.commands.main import main
sys.exit(main())
"""


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """An empty directory with a text in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XPBPTT_BACKEND", raising=False)
    monkeypatch.setenv("XPBPTT_FUSE", "0")  # nothing to compile in each of the processes
    (tmp_path / "cats.txt").write_text("the cat sat on the mat; " * 40)
    return tmp_path


def train(*more, steps=3, out="model"):
    return main([*COMMAND, "--steps", str(steps), "--out", out, *more])


def resume(steps, path="model"):
    return main(["train", "--text", "cats.txt", "--steps", str(steps), "--resume", path])


def step_of(path="model"):
    return checkpoint.load(Path(path)).progress.moments.step


def assert_same_as_straight(path="model"):
    """A file holds, bit for bit, what so many steps without an interruption lead to."""
    assert train(steps=step_of(path), out="straight") == 0
    straight = load_file("straight")
    for name, array in load_file(path).items():
        np.testing.assert_array_equal(array, straight[name], err_msg=name)


def names(place=Path()):
    return {entry.name for entry in place.iterdir()}


# Saving on the way


@pytest.fixture
def each_step(monkeypatch):
    """Report after every step, and save whenever there is a report."""
    monkeypatch.setattr(keeper, "SAVE_SECONDS", 0)
    monkeypatch.setattr(keeper, "SAVE_TIMES", 0)
    monkeypatch.setattr(loop, "REPORT_STEPS", 1)


class CrashError(Exception):
    pass


def at_step(number, monkeypatch, act):
    """Do something within a step, before it is taken."""
    real, taken = Trainer.step, []

    def step(self, before):
        taken.append(1)
        if len(taken) == number:
            act()
        return real(self, before)

    monkeypatch.setattr(Trainer, "step", step)


def crash():
    raise CrashError


def test_a_run_that_crashes_has_been_saved_on_the_way(each_step, monkeypatch):
    with monkeypatch.context() as crashing:
        at_step(12, crashing, crash)
        with pytest.raises(CrashError):
            train(steps=40)
    assert step_of() == 11
    assert names() == {"cats.txt", "model", "model.jsonl"}
    assert resume(29) == 0
    assert step_of() == 40
    assert_same_as_straight()


class FakeJob:
    """What is stored of it is the progress itself."""

    def stored(self, progress, bits):
        return progress


class FakeProgress:
    def __init__(self, step):
        self.moments, self.step = self, step


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still, and shows what it is set to."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_it_is_saved_by_time_and_when_it_is_the_best_so_far(clock, monkeypatch):
    saved = []

    def save(path, progress):
        saved.append(progress.step)
        clock[0] += cost

    monkeypatch.setattr(checkpoint, "save", save)
    watched = Keeper(FakeJob(), Path("model"), complain=pytest.fail)
    cost = 1.0
    for step, seconds, bits in [
        (1, 10.0, None),
        (2, 19.0, None),
        (3, 1.0, None),  # 30 s
        (4, 29.0, None),
        (5, 0.0, 3.5),  # the first number
        (6, 0.0, 3.5),
        (7, 0.0, math.nan),
        (8, 0.0, 3.6),
        (9, 0.0, 3.4),  # the best
        (10, 29.0, 3.5),
        (11, 1.0, 3.5),  # 30 s
    ]:
        clock[0] += seconds
        watched.offer(FakeProgress(step), bits)
    assert saved == [3, 5, 9, 11]
    cost = 7.0  # seconds: what saving costs stays below a tenth
    clock[0] += 30.0
    watched.offer(FakeProgress(12), None)
    clock[0] += 69.0
    watched.offer(FakeProgress(13), None)
    assert saved[4:] == [12]
    clock[0] += 1.0
    watched.offer(FakeProgress(14), None)
    assert saved[4:] == [12, 14]


def test_a_disk_that_is_full_for_a_while_does_not_end_the_run(each_step, monkeypatch, capsys):
    monkeypatch.setattr(loop, "EVALUATE_SECONDS", 1e9)
    real, calls = os.fsync, []

    def full_at_first(number):
        calls.append(number)
        if len(calls) < 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(number)

    monkeypatch.setattr(os, "fsync", full_at_first)
    assert train(steps=5) == 0
    line = "model could not be written and is as it was: No space left on device\n"
    assert capsys.readouterr().err == 2 * line
    assert step_of() == 5


# Signals


SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_finishes_the_step_saves_and_stops(number, code, monkeypatch, capsys):
    before = [signal.getsignal(each) for each, _ in SIGNALS]
    with monkeypatch.context() as pressed:
        at_step(4, pressed, lambda: signal.raise_signal(number))
        assert train(steps=9) == code
    out = capsys.readouterr().out
    assert "saved     model after step 4\n" in out
    assert "sample" not in out
    assert [signal.getsignal(each) for each, _ in SIGNALS] == before
    assert resume(5) == 0
    assert_same_as_straight()


@pytest.mark.parametrize(("number", "code"), SIGNALS[1:])
def test_a_second_signal_of_those_that_come_in_pairs_changes_nothing(number, code, monkeypatch):
    def twice():
        signal.raise_signal(number)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGHUP)

    at_step(2, monkeypatch, twice)
    assert train() == code
    assert step_of() == 2


def test_ctrl_c_after_another_signal_stops_at_once(monkeypatch):
    def both():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)

    at_step(2, monkeypatch, both)
    assert train() == 130
    assert names() == {"cats.txt"}


def test_a_hang_up_that_is_ignored_stays_so(monkeypatch):
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        at_step(2, monkeypatch, lambda: signal.raise_signal(signal.SIGHUP))
        assert train() == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def eager(*arguments, **how):
    """Start a process that saves after every step."""
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **how}
    command = [sys.executable, "-c", EAGER, *COMMAND, "--out", "model", *arguments]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": HOME}, **how)


@pytest.mark.parametrize(("number", "code"), [*SIGNALS[1:], (signal.SIGKILL, -signal.SIGKILL)])
def test_a_process_that_gets_a_signal_leaves_a_whole_file(number, code):
    with eager("--seconds", "300") as process:
        try:
            for line in process.stderr:  # after the first saving; now at some moment
                assert line.startswith("step")
                break
            time.sleep(0.2 + np.random.default_rng().random() / 10)
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == code
    assert "Traceback" not in err
    assert ("saved     model after step" in out) == (number != signal.SIGKILL)
    assert step_of() > 2
    assert_same_as_straight()
    assert resume(1) == 0
    assert names() == {"cats.txt", "model", "model.jsonl", "straight", "straight.jsonl"}
    steps = [entry["step"] for entry in log.read(Path("model.jsonl"))[1:]]
    assert steps == sorted(set(steps))
    assert steps[-1] == step_of()


# Kills while a file is written


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
from xpbptt._arrays import atomic
path, left = Path("file"), 0
content = [bytes([k]) * 3_000_000 for k in range(8)]
for k in range(8):
    atomic.write(path, content[k])
    child = os.fork()
    if child == 0:
        while True:
            for each in content:
                atomic.write(path, each)
    time.sleep(0.01 + random.random() / 30)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert path.read_bytes() in content
    left += len(os.listdir()) - 1
    atomic.sweep(path)
    assert os.listdir() == ["file"], os.listdir()
print(left)
"""


def test_a_file_is_whole_whenever_its_writer_is_killed(tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", KILLED],
        cwd=place,
        env={**os.environ, "PYTHONPATH": HOME},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 0  # something was swept


def test_the_next_run_removes_the_temporary_files_of_those_that_were_killed(workplace):
    left = ".model.0123abcd.tmp"
    others = {
        ".model.0123abcd.tmp.txt",
        ".model.0123abcz.tmp",
        ".other.0123abcd.tmp",
        "model.0123abcd.tmp",
        ".model.link0000.tmp",
    }
    for name in (left, *others):
        (workplace / name).write_text("half")
    (workplace / ".model.00000000.tmp").symlink_to("cats.txt")
    (workplace / ".model.11111111.tmp").mkdir()
    assert train() == 0
    stay = {"cats.txt", "model", "model.jsonl", ".model.00000000.tmp", ".model.11111111.tmp"}
    assert names() == others | stay


def test_a_file_that_is_being_written_is_not_swept(workplace):
    busy = workplace / ".model.0123abcd.tmp"
    with busy.open("xb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        atomic.sweep(workplace / "model")
        assert busy.exists()
    atomic.sweep(workplace / "model")
    assert not busy.exists()


def test_what_is_written_is_locked_until_it_has_its_name(workplace, monkeypatch):
    path, seen = workplace / "model", []
    real = Path.replace

    def replace(self, target):
        atomic.sweep(path)
        seen.append(self.exists())
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    atomic.write(path, b"content")
    assert seen == [True]
    assert path.read_bytes() == b"content"


def test_a_file_that_is_swept_before_it_is_locked_is_written_again(workplace, monkeypatch):
    path, real, swept = workplace / "model", atomic._lock, []

    def late(file):
        if not swept:
            swept.append(file.name)
            Path(file.name).unlink()
        real(file)

    monkeypatch.setattr(atomic, "_lock", late)
    atomic.write(path, b"content")
    assert len(swept) == 1
    assert path.read_bytes() == b"content"


# Numbers that are not finite


def nan_after(number, monkeypatch, of="loss"):
    """Make a loss, or the parameters, not finite from a step on."""
    real = Trainer.step

    def step(self, before):
        after, loss = real(self, before)
        if after.moments.step >= number:
            if of == "params":
                after = after._replace(params=map_leaves(lambda a: a * np.nan, after.params))
            else:
                loss = np.asarray(np.nan)
        return after, loss

    monkeypatch.setattr(Trainer, "step", step)


@pytest.fixture
def quiet(monkeypatch):
    monkeypatch.setattr(loop, "EVALUATE_SECONDS", 1e9)
    monkeypatch.setattr(loop, "REPORT_SECONDS", 1e9)


@pytest.mark.parametrize("of", ["loss", "params"])
def test_a_run_that_diverges_before_it_was_saved_keeps_its_last_good_state(
    quiet, monkeypatch, capsys, of
):
    with monkeypatch.context() as diverging:
        nan_after(50, diverging, of)
        assert train(steps=90) == 1
    assert capsys.readouterr().err == (
        "xpbptt: error: the loss is not finite after step 60; model holds the model after step 40; "
        "try a smaller --learning-rate\n"
    )
    assert step_of() == 40
    assert_same_as_straight()


def test_a_run_that_diverges_keeps_what_it_saved_on_the_way(quiet, each_step, monkeypatch, capsys):
    with monkeypatch.context() as diverging:
        nan_after(6, diverging)
        assert train(steps=9) == 1
    assert "not finite after step 6; model holds the model after step 5" in capsys.readouterr().err
    assert step_of() == 5
    assert_same_as_straight()


def test_a_run_that_diverges_over_another_model_leaves_it(quiet, monkeypatch, capsys):
    assert train(steps=3) == 0
    before = Path("model").read_bytes()
    nan_after(50, monkeypatch)
    capsys.readouterr()
    assert resume(90) == 1
    err = capsys.readouterr().err
    assert "not finite after step 63; nothing was saved, model is as it was; try" in err
    assert Path("model").read_bytes() == before


def test_parameters_that_turn_at_the_last_step_are_not_saved(quiet, monkeypatch, capsys):
    nan_after(43, monkeypatch, "params")
    assert train(steps=43) == 1
    assert capsys.readouterr().err == (
        "xpbptt: error: the model has numbers that are not finite after step 43; model holds the "
        "model after step 40; try a smaller --learning-rate\n"
    )
    assert step_of() == 40


def test_parameters_that_turn_at_a_saving_end_the_run(quiet, each_step, monkeypatch, capsys):
    nan_after(7, monkeypatch, "params")
    assert train(steps=9) == 1
    assert "not finite after step 7; model holds the model after step 6" in capsys.readouterr().err
    assert step_of() == 6


def test_nothing_is_left_where_the_first_loss_is_not_finite(quiet, monkeypatch, capsys):
    nan_after(1, monkeypatch, "params")
    assert train(steps=90) == 1
    assert "nothing was saved" in capsys.readouterr().err
    assert names() == {"cats.txt"}


def test_a_state_that_cannot_be_rescued_is_told_as_such():
    watched = Keeper(FakeJob(), Path("model"), complain=pytest.fail)
    watched._last = FakeProgress(40)
    watched._job.stored = lambda *_: crash_with(NotFiniteError("x is", 40))
    error = watched.rescue(NotFiniteError("the loss is", 60))
    assert str(error) == (
        "the loss is not finite after step 60; nothing was saved, model is as it was; "
        "try a smaller --learning-rate"
    )


def crash_with(error):
    raise error


def test_a_rate_that_is_far_too_large_ends_in_one_line(capsys):
    assert train("--learning-rate", "1e38", steps=50) == 1
    err = capsys.readouterr().err
    assert err.startswith("xpbptt: error: the loss is not finite after step ")
    assert err.count("\n") == 1


# Output that nobody takes


@pytest.mark.parametrize(
    "redirection",
    [
        "2>&1 | head -1",
        "2>/dev/full",
        ">/dev/full",
        ">/dev/full 2>&1",
        "2>&-",
        ">&-",
        ">&- 2>&-",
    ],
)
def test_a_run_whose_output_is_lost_goes_on_and_saves(redirection):
    command = f'"$0" "$@" {redirection}; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(
        ["bash", "-c", command, sys.executable, "-c", EAGER, *COMMAND, "--steps", "20"],
        env={**os.environ, "PYTHONPATH": HOME},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr
    assert "Exception" not in done.stdout + done.stderr
    assert done.returncode == 0
    assert step_of("model.safetensors") == 20


REPORTS = [
    Report(step, step, 1.0 * step, train=4.5, held_out=3.5, held_out_is_new=True)
    for step in range(1, 5)
]


def test_a_bar_whose_terminal_is_closed_is_no_error():
    outside, inside = os.openpty()
    stream = Lossy(os.fdopen(inside, "w"))
    with Display(stream, Budget(9, None), "bigram 3.35") as display:
        display.show(REPORTS[0])
        os.close(outside)  # writing is an input/output error from now on
        for report in REPORTS[1:]:
            display.show(report)
            display.say("a line")
    assert stream._lost
    stream.close()


class Broken(io.StringIO):
    def __init__(self, good, code):
        super().__init__()
        self.good, self.code = good, code

    def flush(self):
        self.good -= 1
        if self.good < 0:
            raise OSError(self.code, "broken")


@pytest.mark.parametrize("code", [errno.EPIPE, errno.ENOSPC, errno.EIO])
def test_a_stream_that_breaks_is_not_used_again(code):
    broken = Broken(2, code)
    stream = Lossy(broken)
    for word in ("one ", "two ", "three ", "four "):
        print(word, end="", file=stream, flush=True)
    assert broken.getvalue() == "one two three "
    assert broken.good == -1
    with pytest.raises(KeyboardInterrupt):
        Lossy(type("Stream", (), {"write": lambda *_: crash_with(KeyboardInterrupt())})).write("a")


def test_a_line_stays_above_a_bar():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    with Display(stream, Budget(9, None), "bigram 3.35") as display:
        display.show(REPORTS[0])
        display.say("no\nspace \x1b")
        display.show(REPORTS[1])
    assert "no space \\x1b\n" in stream.getvalue()
    stream = io.StringIO()
    with Display(stream, Budget(9, None), "bigram 3.35") as display:
        display.say("no\nspace \x1b")
    assert stream.getvalue() == "no space \\x1b\n"


def test_what_is_printed_of_a_name_a_message_and_a_sample():
    assert plain("a \xe4 \U0001f600\x1b\n\u202e\ud800\xad") == "a ä 😀\\x1b\\n\\u202e\\ud800\\xad"
    assert one_line(TrainingError("a\n\n  b\x1b")) == "a b\\x1b"
    long = one_line("a" * 10**7 + "\x1b" * 500)
    assert long.startswith("aaa")
    assert long.endswith("\\x1b")
    assert " ... " in long
    assert len(long) < 1010
    assert "".join(map(shown, "a\n\t\r\x00\x1b\x1f \x7e\x7f\x80\x9f\xa0ä\u202e")) == (
        "a\n\t\\r\\x00\\x1b\\x1f ~\\x7f\\x80\\x9f\xa0ä\u202e"
    )
