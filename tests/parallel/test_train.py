"""``mpiexec -n 2 python -m mpi4py -m xpbptt train``: one run, whose batch two processes share."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from xpbptt._arrays import atomic
from xpbptt.commands.train.ranks import Ranks

ARGUMENTS = ["train", "--text", "text", "--steps", "4", "--batch", "5", "--hidden", "6"]
ARGUMENTS += ["--chunk", "7", "--backend", "numpy", "--layers", "2"]
ARGUMENTS += ["--halve", "3", "--weight-decay", "0.1"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "XPBPTT_FUSE": "0"}


@pytest.fixture
def run(tmp_path):
    """Return a function that runs the command on some ranks, in a folder with a text."""
    pytest.importorskip("mpi4py", reason="needs mpi4py: nox -s peers runs it")
    mpiexec = Path(sys.executable).with_name("mpiexec")
    if not mpiexec.exists():
        pytest.skip("needs mpiexec of the wheel mpich: nox -s peers runs it")
    letters = np.random.default_rng(0).integers(97, 105, 3000).astype("u1").tobytes()
    (tmp_path / "text").write_bytes(letters)

    def run(ranks, *more, command=("-m", "xpbptt")):
        start = [str(mpiexec), "-n", str(ranks), sys.executable, "-m", "mpi4py"]
        return subprocess.run(
            [*start, *command, *ARGUMENTS, *more],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=100,
            env=ENVIRONMENT,
            check=False,
        )

    return run


def test_two_ranks_train_the_model_of_one_and_go_on_with_it(run, tmp_path):
    for ranks, name in ((1, "one"), (2, "two")):
        for resume in ([], ["--resume"]):
            done = run(ranks, "--out", name, *resume)
            assert done.returncode == 0, done.stderr
            assert done.stdout.count("saved ") == 1
            assert ("2 share each batch" in done.stdout) == (ranks == 2)
    one, two = load_file(tmp_path / "one"), load_file(tmp_path / "two")
    assert one.keys() == two.keys()
    assert one["state.1.h"].shape == (5, 6)
    for name, tensor in one.items():
        np.testing.assert_allclose(two[name], tensor, rtol=0, atol=2e-5, err_msg=name)
    assert {entry.name for entry in tmp_path.iterdir()} == {
        "text",
        "one",
        "one.jsonl",
        "two",
        "two.jsonl",
    }


FAILS = """
import sys
from mpi4py import MPI
from xpbptt.commands.main import main
from xpbptt.commands.train.train import Trainer

step, steps = Trainer.step, []


def failing(self, before):
    steps.append(1)
    if MPI.COMM_WORLD.rank == 1 and len(steps) == 3:
        raise RuntimeError("the third step failed")
    return step(self, before)


Trainer.step = failing
sys.exit(main())
"""


def test_a_rank_that_fails_ends_the_others_and_leaves_the_file_whole(run, tmp_path):
    assert run(2, "--out", "model").returncode == 0
    before = (tmp_path / "model").read_bytes()
    (tmp_path / "fails.py").write_text(FAILS, "utf8")
    done = run(2, "--out", "model", "--resume", command=("fails.py",))
    assert done.returncode != 0
    assert "the third step failed" in done.stderr
    assert (tmp_path / "model").read_bytes() == before


def test_a_batch_smaller_than_the_ranks_is_refused(run, tmp_path):
    done = run(2, "--batch", "1", "--out", "model")
    assert done.returncode == 2
    assert "--batch 1 has no share for each of 2 ranks" in done.stderr
    assert not (tmp_path / "model").exists()


def test_rank_0_alone_locks_logs_and_prints(run, tmp_path):
    more = ["--log", "log", "--keep-best", "--samples", "--prompt", "abc", "--dropout", "0.5"]
    done = run(2, "--out", "model", *more, "--patience", "1", "--threads", "1")
    assert done.returncode == 0, done.stderr
    for line in ("text  ", "threads  ", "saved  ", "ranks  ", "model  "):
        assert done.stdout.count(line) == 1, line
    assert done.stdout.count("\nsample\nabc") == 1
    steps = [json.loads(line).get("step") for line in (tmp_path / "log").read_text().splitlines()]
    assert steps == [None, 4, 4]  # the baselines, the last report, and what was measured at the end
    names = {entry.name for entry in tmp_path.iterdir()}
    assert names == {"text", "model", "model.best", "log"}


def test_patience_stops_every_rank(run, tmp_path):
    (tmp_path / "waits.py").write_text(WAITS, "utf8")
    done = run(2, "--out", "model", "--patience", "3", "--steps", "90", command=("waits.py",))
    assert done.returncode == 0, done.stderr
    assert "saved     model after step 5" in done.stdout
    assert "stopped   3 numbers" in done.stdout


WAITS = """
import sys
import mpi4py.MPI
from xpbptt.commands.main import main
from xpbptt.commands.train.job import Job
from xpbptt.commands.train import loop

loop.REPORT_STEPS, loop.EVALUATE_SECONDS = 1, 0.0
loop._next = lambda *_: 0.0
numbers = iter([3.0, 4.0, 4.0, 4.0, 4.0, 4.0])
Job.held_out_bits = lambda *_: next(numbers)
sys.exit(main())
"""


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--text", "-"], "--text - cannot be read by 2 ranks"),
        (["--plot", "curve.txt"], "curve.txt"),
        (["--prompt", "Z"], "Z"),
    ],
)
def test_what_rank_0_refuses_ends_the_others(run, tmp_path, more, message):
    done = run(2, "--out", "model", *more)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert not (tmp_path / "model").exists()
    assert not done.stdout


def test_a_file_that_is_trained_already_is_refused(run, tmp_path):
    with atomic.locked(tmp_path / "model"):
        done = run(2, "--out", "model")
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("another process is training model") == 1
    assert not (tmp_path / "model").exists()


def test_each_share_has_a_dropout_seed_of_its_own():
    seeds = []

    def function(params, x, targets, state, *, seed):
        seeds.append(seed)
        return np.asarray(0.0), params, state

    def nothing(buffer):
        return None

    ids = np.zeros((3, 5), np.int32)
    for rank in range(2):
        Ranks(rank, 2, nothing, nothing).gradients(
            function, np.ones(4), ids, ids, np.zeros((5, 6)), seed=(7, 11)
        )
    assert seeds == [(7, 11, 0), (7, 11, 1)]
