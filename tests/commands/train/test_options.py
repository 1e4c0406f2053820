"""What can be asked of a training run beside its sizes."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import xpbptt
from xpbptt._arrays.tree import leaves
from xpbptt.commands.base.errors import UserError
from xpbptt.commands.main import main
from xpbptt.commands.train import checkpoint, curve, log, loop
from xpbptt.commands.train.job import Job
from xpbptt.commands.train.model import build
from xpbptt.commands.train.sample import draw
from xpbptt.commands.train.settings import Settings
from xpbptt.commands.train.train import Trainer

HOME = str(Path(xpbptt.__file__).parents[1])
TRAIN = ["train", "--text", "cats.txt", "--hidden", "7", "--batch", "3", "--chunk", "6"]


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """An empty directory with a text in it, and a report after each step."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XPBPTT_BACKEND", raising=False)
    monkeypatch.setenv("XPBPTT_FUSE", "0")
    monkeypatch.setattr(loop, "REPORT_STEPS", 1)
    (tmp_path / "cats.txt").write_text("the cat sat on the mat; " * 40)


def train(*more, steps=3, out="model.safetensors"):
    return main([*TRAIN, "--steps", str(steps), "--out", out, *more])


@pytest.fixture
def numbers(monkeypatch):
    """Have the held-out numbers of a run be these, one for each step."""

    def be(*values):
        given = iter(values)
        monkeypatch.setattr(loop, "EVALUATE_SECONDS", 0)
        monkeypatch.setattr(loop, "_next", lambda *_: 0)
        monkeypatch.setattr(Job, "held_out_bits", lambda *_: next(given))

    return be


def step_of(path):
    return checkpoint.load(Path(path)).progress.moments.step


def test_a_log_has_each_report_and_the_baselines(capsys, numbers):
    numbers(3.5, 3.25, 3.0)
    assert train("--log", "log") == 0
    assert all(json.loads(line) for line in Path("log").read_text().splitlines())
    first, *reports = log.read(Path("log"))
    assert first["baselines"].keys() == {"bigram", "unigram"}
    assert [each["step"] for each in reports] == [1, 2, 3]
    assert [each.get("held_out") for each in reports] == [3.5, 3.25, 3.0]
    assert all(each["learning_rate"] == 0.01 for each in reports)
    assert all(0 < each["gradient_norm"] < 10 for each in reports)


def test_a_resumed_run_goes_on_with_its_log_where_its_model_stood(numbers):
    numbers(*[3.5] * 20)
    assert train("--log", "log") == 0
    with Path("log").open("a") as file:  # of a process that was killed
        file.write('{"step": 4, "train": 9.0}\n')
    assert main(["train", "--text", "cats.txt", "--resume", "model.safetensors", "--steps", "2",
                 "--log", "log"]) == 0  # fmt: skip
    entries = log.read(Path("log"))
    assert [each["step"] for each in entries[1:]] == [1, 2, 3, 4, 5]
    assert entries[4]["train"] != 9.0
    assert train("--log", "log", "--overwrite", steps=1) == 0
    assert len(log.read(Path("log"))) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("[]", "line 1"),
        ('{"step": 1, "train": 2.0}', "expected the baselines"),
        ('{"baselines": {"bigram": 2.0}}\n{"step": 1, "train": NaN}', "line 2: expected finite"),
        ('{"baselines": {"bigram": 2.0}}\n{"loss": 1}', "line 2: expected some of step"),
        ('{"baselines": {"bigram": 2.0}}\n{"step": 1, "trai', "line 2"),
    ],
)
def test_a_file_that_is_no_log_is_refused(text, said, capsys):
    Path("log").write_text(text)
    assert main(["plot", "log"]) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert (out, err.count("\n")) == ("", 1)
    assert not Path("log.png").exists()


def test_the_curve_has_the_numbers_of_the_log(numbers, capsys):
    numbers(3.5, 3.25, 3.0)
    assert train("--log", "log.jsonl", "--plot", "curve.svg") == 0
    assert "curve     curve.svg\n" in capsys.readouterr().out
    assert "<svg" in Path("curve.svg").read_text()
    assert main(["plot", "log.jsonl"]) == 0
    assert Path("log.png").read_bytes().startswith(b"\x89PNG")
    entries = log.read(Path("log.jsonl"))
    (axes,) = curve.draw(entries).axes
    lines = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert lines["held-out text"] == [[1.0, 3.5], [2.0, 3.25], [3.0, 3.0]]
    assert lines["training text"] == [[each["step"], each["train"]] for each in entries[1:]]
    across = sorted(line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == "--")
    assert across == sorted(entries[0]["baselines"].values())


def test_log_and_curve_without_a_name_are_beside_the_model(numbers, capsys):
    numbers(3.5, 3.25, 3.0, 3.5, 3.25, 3.0)
    Path("runs").mkdir()
    assert train("--plot", out="runs/cats.safetensors") == 0
    names = {each.name for each in Path("runs").iterdir()}
    assert names == {"cats.safetensors", "cats.jsonl", "cats.png"}
    assert [each["step"] for each in log.read(Path("runs/cats.jsonl"))[1:]] == [1, 2, 3]
    assert train("--log", out="model.jsonl") == 0  # a model of that name is not written over
    assert step_of("model.jsonl") == 3
    assert len(log.read(Path("model.jsonl.jsonl"))) == 4


def test_several_temperatures_make_a_sample_each(capsys):
    assert train() == 0
    capsys.readouterr()
    command = ["sample", "model.safetensors", "--prompt", "the ", "--length", "30"]
    assert main([*command, "--temperature", "0,0.5,2"]) == 0
    together = capsys.readouterr().out
    alone = []
    for temperature in ("0", "0.5", "2"):
        assert main([*command, "--temperature", temperature]) == 0
        alone.append(f"--- temperature {temperature}\n{capsys.readouterr().out}")
    assert together == "".join(alone)
    assert len({each.partition("\n")[2] for each in alone}) == 3
    with pytest.raises(SystemExit):
        main([*command, "--temperature", "0.5,-1"])
    assert "must be a number of at least 0, got '-1'" in capsys.readouterr().err


def test_a_picture_that_cannot_be_is_refused_before_training(capsys):
    for name, said in (("a.txt", "must end in one of .png"), ("no/a.png", "cannot be written")):
        assert train("--plot", name) == 2
        assert said in capsys.readouterr().err
    assert {each.name for each in Path().iterdir()} == {"cats.txt"}


def test_the_best_model_is_kept_beside_the_last(numbers):
    numbers(3.5, 3.0, 3.25, 3.25)
    assert train("--keep-best", steps=4) == 0
    assert step_of("model.safetensors") == 4
    assert step_of("model.best.safetensors") == 2
    assert checkpoint.load(Path("model.best.safetensors")).held_out == 3.0
    numbers(3.125, 2.5)
    resumed = ["train", "--text", "cats.txt", "--resume", "model.safetensors", "--keep-best"]
    assert main([*resumed, "--steps", "1"]) == 0  # the finished one is worse
    assert step_of("model.best.safetensors") == 2
    assert main([*resumed, "--steps", "1"]) == 0
    assert step_of("model.best.safetensors") == 6


def test_patience_ends_the_run(numbers, capsys):
    numbers(3.5, 3.0, 3.1, 3.2, 3.3, 3.4)
    assert train("--patience", "2", steps=50) == 0
    out = capsys.readouterr().out
    assert "stopped   2 numbers on the held-out text after the best one\n" in out
    assert step_of("model.safetensors") == 5


def trainer(**settings):
    settings = Settings(hidden=5, batch=2, chunk=4, **settings)
    streams = np.random.default_rng(0).integers(6, size=(40, 2))
    return Trainer(build(settings, 6), settings, streams, np)


def test_the_learning_rate_halves():
    constant, halved = trainer(), trainer(halve=10)
    assert [constant.rate(step) for step in (0, 10)] == [0.01, 0.01]
    assert [halved.rate(step) for step in (0, 10, 20)] == [0.01, 0.005, 0.0025]
    start = constant.start()
    later = start._replace(moments=start.moments._replace(step=20))
    moved = [
        [
            p - q
            for (_, p), (_, q) in zip(leaves(each.step(s)[0].params), leaves(s.params), strict=True)
        ]
        for each, s in ((constant, later), (halved, later))
    ]
    for a, b in zip(*moved, strict=True):
        np.testing.assert_allclose(b, a / 4, rtol=1e-3, atol=1e-6)


def test_weight_decay_shrinks_matrices_by_its_share_of_the_rate():
    plain, decayed = trainer(), trainer(weight_decay=0.5)
    start = plain.start()
    found, expected = decayed.step(start)[0], plain.step(start)[0]
    for (name, a), (_, b), (_, p) in zip(
        leaves(found.params), leaves(expected.params), leaves(start.params), strict=True
    ):
        shrunk = p * 0.01 * 0.5 if a.ndim > 1 else 0.0
        np.testing.assert_allclose(a, b - shrunk, rtol=1e-5, atol=1e-7, err_msg=name)


def test_dropout_follows_from_seed_and_step():
    dropping = trainer(layers=2, dropout=0.5)
    assert dropping.model.net.dropout == 0.5
    start = dropping.start()
    later = start._replace(moments=start.moments._replace(step=1))
    losses = [float(dropping.step(each)[1]) for each in (start, start, later)]
    assert losses[0] == losses[1] != losses[2]


def test_a_run_with_all_of_them_goes_on_bit_for_bit():
    options = ["--layers", "2", "--dropout", "0.3", "--halve", "5", "--weight-decay", "0.1"]
    assert train(*options, steps=7, out="straight") == 0
    assert train(*options, steps=3) == 0
    resumed = ["train", "--text", "cats.txt", "--resume", "model.safetensors", "--steps", "4"]
    assert main(resumed) == 0
    one, other = (checkpoint.load(Path(p)).progress for p in ("straight", "model.safetensors"))
    for (name, a), (_, b) in zip(leaves(one.params), leaves(other.params), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--dropout", "0.3"], "`dropout` is between two layers"),
        (["--dropout", "1", "--layers", "2"], "below 1.0, got 1.0"),
        (["--weight-decay", "100"], "`weight_decay` must be"),
        (["--prompt", "€"], "--prompt has characters that the model has never seen"),
        (["--threads", "0"], "must be an integer of at least 1"),
        (["--patience", "0"], "must be an integer of at least 1"),
    ],
)
def test_what_cannot_be_is_refused(options, said, capsys):
    try:
        code = train(*options)
    except SystemExit as error:
        code = error.code
    assert code == 2
    assert said in capsys.readouterr().err
    assert {each.name for each in Path().iterdir()} == {"cats.txt"}


def test_threads_prompt_and_samples(capsys, numbers):
    numbers(*[3.5] * 9)
    assert train("--threads", "1", "--prompt", "the cat", "--samples") == 0
    out, err = capsys.readouterr()
    assert "threads   1: set by --threads\n" in out
    assert "\nthe cat" in out[out.index("sample\n") :]
    written = [line for line in err.splitlines() if ": the cat" in line]
    assert [line.partition(":")[0] for line in written] == ["step 1", "step 2"]
    assert all(len(line) <= len("step 1: the cat") + 3 * 60 for line in written)


def test_the_text_may_come_from_standard_input(capsys):
    done = subprocess.run(
        [sys.executable, "-m", "xpbptt", "train", "--text", "-", "--steps", "2", *TRAIN[3:]],
        input=Path("cats.txt").read_text(), env={**os.environ, "PYTHONPATH": HOME},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "text      standard input: 960 characters of" in done.stdout
    assert checkpoint.load(Path("model.safetensors")).text_name == "standard input"


def test_top_k_draws_from_the_likeliest_only():
    logits = np.asarray([0.0, 3.0, 1.0, 2.0, -1.0], dtype=np.float32)
    random = np.random.default_rng(0)
    assert {draw(logits, 5.0, random, 2) for _ in range(200)} == {1, 3}
    assert {draw(logits, 5.0, random, 9) for _ in range(300)} == set(range(5))
    assert train() == 0
    for arguments in (["--top-k", "1"], ["--temperature", "0"]):
        assert main(["sample", "model.safetensors", "--length", "50", *arguments]) == 0


def test_a_log_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        log.read(tmp_path / "nowhere")
    assert math.isnan(loop.Report(1, 1, 0.0, 1.0, None, held_out_is_new=False).norm)
