"""``mpiexec -n 2 python -m mpi4py -m xpbptt train``: one run, whose batch two processes share."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

ARGUMENTS = ["train", "--text", "text", "--steps", "4", "--batch", "5", "--hidden", "6"]
ARGUMENTS += ["--chunk", "7", "--backend", "numpy", "--layers", "2"]
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
    assert {entry.name for entry in tmp_path.iterdir()} == {"text", "one", "two"}


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
