"""The log beside a model: when it is begun, gone on with, replaced and refused."""

import errno
from pathlib import Path

import pytest

from xpbptt.commands.base.errors import UserError
from xpbptt.commands.main import main
from xpbptt.commands.train import checkpoint, log, loop
from xpbptt.commands.train.job import Job

TRAIN = ["train", "--text", "cats.txt", "--hidden", "7", "--batch", "3", "--chunk", "6"]
RESUME = ["train", "--text", "cats.txt", "--steps", "2"]
OUT, LOG = Path("model.safetensors"), Path("model.jsonl")


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """An empty directory with a text in it, and a report after each step."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XPBPTT_BACKEND", raising=False)
    monkeypatch.setenv("XPBPTT_FUSE", "0")
    monkeypatch.setattr(loop, "REPORT_STEPS", 1)
    (tmp_path / "cats.txt").write_text("the cat sat on the mat; " * 40)


def train(*more, steps=3, out=OUT):
    return main([*TRAIN, "--steps", str(steps), "--out", str(out), *more])


def names():
    return {each.name for each in Path().iterdir()}


def steps(path=LOG):
    return [entry["step"] for entry in log.read(path)[1:]]


def test_it_is_written_by_default_and_gone_on_with():
    assert train() == 0
    first, *reports = log.read(LOG)
    assert first["baselines"].keys() == {"bigram", "unigram"}
    numbers = {"step", "seconds", "train", "learning_rate", "gradient_norm"}
    assert all(each.keys() - {"held_out"} == numbers for each in reports)
    assert main([*RESUME, "--resume", str(OUT)]) == 0
    assert log.read(LOG)[:3] == [first, *reports[:2]]
    assert steps() == [1, 2, 3, 4, 5]


def test_without_it():
    assert train("--no-log") == 0
    assert names() == {"cats.txt", OUT.name}
    assert train("--overwrite", "--no-log", "--log", "run") == 0  # the last one counts
    assert names() == {"cats.txt", OUT.name, "run"}


def test_a_longer_log_is_replaced_on_request_only(capsys):
    assert train() == 0
    before = LOG.read_bytes()
    assert train(steps=1) == 2
    assert "model.safetensors holds a model after step 3" in capsys.readouterr().err
    OUT.unlink()
    assert train(steps=1) == 2
    assert capsys.readouterr().err == (
        "xpbptt: error: model.jsonl holds the log of a run until step 3: replace it by "
        "--overwrite, or give another --log, or --no-log\n"
    )
    assert LOG.read_bytes() == before
    assert not OUT.exists()
    assert train("--overwrite", steps=1) == 0
    assert steps() == [1]


def test_a_run_that_saves_nothing_leaves_the_log_of_the_model_that_is_there(monkeypatch, capsys):
    assert train() == 0
    before = LOG.read_bytes(), OUT.read_bytes()
    with monkeypatch.context() as failing:
        failing.setattr(checkpoint, "save", full)
        assert train("--overwrite", steps=7) == 1
        assert main([*RESUME, "--resume", str(OUT)]) == 1
    assert (LOG.read_bytes(), OUT.read_bytes()) == before
    assert main([*RESUME, "--resume", str(OUT)]) == 0
    assert steps() == [1, 2, 3, 4, 5]


def full(*_):
    raise checkpoint.TrainingError(errno.ENOSPC)


def test_it_is_begun_when_the_model_is_first_saved(monkeypatch):
    monkeypatch.setattr(loop, "EVALUATE_SECONDS", 0)
    monkeypatch.setattr(loop, "_next", lambda *_: 0)
    bits, seen = iter([3.5, 3.6, 3.4, 3.7]), []

    def held_out(*_):
        seen.append((OUT.exists(), steps() if LOG.exists() else None))
        return next(bits)

    monkeypatch.setattr(Job, "held_out_bits", held_out)
    assert train(steps=4) == 0
    assert seen == [(False, None), (True, [1]), (True, [1, 2]), (True, [1, 2, 3, 4])]
    assert steps() == [1, 2, 3, 4]


@pytest.mark.parametrize("more", [(), ("--overwrite",)])
def test_a_file_that_is_no_log_is_never_replaced(more, capsys):
    LOG.write_text("mine\n")
    assert train(*more) == 2
    said = capsys.readouterr().err
    assert "model.jsonl is no log of `xpbptt train`: line 1" in said
    assert "give another --log, or --no-log, or remove it" in said
    assert LOG.read_text() == "mine\n"
    assert names() == {"cats.txt", LOG.name}


def test_an_empty_file_is_filled():
    LOG.touch()
    assert train() == 0
    LOG.write_text("")
    assert main([*RESUME, "--resume", str(OUT)]) == 0
    assert steps() == [4, 5]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("no/run.jsonl", "--log no/run.jsonl cannot be written: No such file or directory"),
        (".", "--log . cannot be written: Is a directory"),
        ("a\0b", "cannot be written: "),
        (OUT.name, "--log model.safetensors is the file of the model"),
        ("cats.txt", "cats.txt is no log"),
    ],
)
def test_a_place_that_cannot_be_written_to_is_refused_before_training(given, said, capsys):
    assert train("--log", given) == 2
    assert said in capsys.readouterr().err
    assert names() == {"cats.txt"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ("--log", "model.best.safetensors"),
            "--log model.best.safetensors is the file of the best",
        ),
        (("--log", "a.svg", "--plot", "a.svg"), "--plot a.svg is the file of --log"),
    ],
)
def test_two_things_in_one_file_are_refused(options, said, capsys):
    assert train("--keep-best", *options) == 2
    assert said in capsys.readouterr().err
    assert names() == {"cats.txt"}


def test_the_log_of_a_model_that_is_replaced_without_one_goes():
    assert train() == 0
    assert train("--overwrite", "--no-log") == 0
    assert not LOG.exists()
    LOG.write_text("mine")
    assert train("--overwrite", "--no-log") == 0
    assert LOG.read_text() == "mine"


def test_a_folder_without_leave_is_refused(monkeypatch):
    """As by a probe that fails, because the superuser may write everywhere."""

    def probe(_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(log.atomic, "probe", probe)
    with pytest.raises(UserError, match=r"--log runs/a cannot be written: Permission denied"):
        log.check_place(Path("runs/a"), goes_on=False, overwrite=True)


def test_another_model_that_is_gone_on_with_has_a_log_of_its_own(capsys):
    assert train() == 0
    assert train(out="other", steps=4) == 0
    Path("other").unlink()
    again = [*RESUME, "--resume", str(OUT), "--out", "other"]
    assert main(again) == 2
    assert "other.jsonl holds the log of a run until step 4" in capsys.readouterr().err
    assert main([*again, "--overwrite"]) == 0
    assert steps(Path("other.jsonl")) == [4, 5]
    assert steps() == [1, 2, 3]
    assert main([*again, "--overwrite", "--log", str(LOG)]) == 0  # named: one log of both
    assert steps() == [1, 2, 3, 4, 5]


def test_a_disk_that_is_full_ends_the_log_but_not_the_run(monkeypatch, capsys):
    """The line is said once, and the model is saved."""
    real = Path.open

    def failing(path, mode="r", **how):
        if path.name == LOG.name and mode != "r":
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, mode, **how)

    monkeypatch.setattr(Path, "open", failing)
    assert train() == 0
    said = "--log model.jsonl: No space left on device; it is not written any more\n"
    assert capsys.readouterr().err.endswith(said)
    assert names() == {"cats.txt", OUT.name}


def test_the_entries_are_those_that_are_read():
    """Also where a killed process logged more than its model: for the curve at the end."""
    assert train() == 0
    with LOG.open("a") as file:
        file.write('{"step": 9, "train": 9.0}\n')
    again = log.Log(LOG, {}, goes_on=True, complain=pytest.fail)
    again.begin()
    for step in (4, 5, 5):
        again.add(loop.Report(step, 1, 0.5, 2.0, None, False, 0.01, 1.0))  # noqa: FBT003
    assert again.entries == log.read(LOG)
    assert steps() == [1, 2, 3, 4, 5]
