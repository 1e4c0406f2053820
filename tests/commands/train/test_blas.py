import itertools

import numpy as np
import pytest

from xpbptt.commands.base import threads
from xpbptt.commands.main import main
from xpbptt.commands.train import blas, checkpoint
from xpbptt.commands.train.model import build
from xpbptt.commands.train.settings import Settings
from xpbptt.commands.train.train import Trainer


class Machine:
    """A clock, and work that takes the given times in turn for each number of threads."""

    def __init__(self, **times):
        self.times = {int(name[1:]): itertools.cycle(each) for name, each in times.items()}
        self.now, self.probed = 50.0, []

    def probe(self, count):
        self.probed.append(count)
        self.now += next(self.times[count])

    def choose(self, now=2, stored=None, environ=None, *, small=False):
        return blas.choose(
            now, stored, environ or {}, small=small, probe=self.probe, clock=lambda: self.now
        )


@pytest.mark.parametrize(
    ("one", "four", "expected"),
    [
        ([0.020], [0.010], 4),
        ([0.010], [0.020], 1),
        ([0.020], [0.0185], 1),  # not worth the cores
        ([0.020], [0.0175], 4),
        ([0.020], [0.010, 0.010, 0.010, 0.200], 1),  # now and then they wait for each other
        ([0.020, 0.020, 0.020, 0.200], [0.040], 4),
        ([0.001], [6.0], 1),
        ([6.0], [2.0], 4),
    ],
)
def test_all_threads_are_taken_where_they_are_faster_by_a_tenth(one, four, expected):
    machine = Machine(_1=[99.0, *one * 500], _4=four)  # the first use compiles
    threads, reason = machine.choose(now=4)
    assert threads == expected
    assert reason.startswith("a probe took")
    assert reason.endswith("s with 4")
    assert machine.probed[0] == 1
    assert machine.probed[1:] == [1, 4] * (len(machine.probed) // 2)


def test_measuring_takes_a_second_or_one_probe_of_each():
    machine = Machine(_1=[0.020], _2=[0.030])
    assert machine.choose().reason == "a probe took 0.020 s with 1 and 0.030 s with 2"
    assert 51.0 < machine.now <= 51.0 + 0.020 + 0.050 + 1e-9
    machine = Machine(_1=[0.010], _2=[30.0])
    machine.choose()
    assert machine.probed == [1, 1, 2]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"now": None, "stored": 2}, (None, "")),
        ({"small": True}, (1, "enough for matrix products this small")),
        ({"now": 1}, (1, "one core")),
        ({"stored": 2}, (2, "as before")),
        ({"stored": 1}, (1, "as before")),
        ({"stored": 2, "small": True}, (2, "as before")),
        ({"stored": 3, "small": True}, (1, "enough for matrix products this small")),
        ({"environ": {"OMP_NUM_THREADS": "2"}, "small": True}, (2, "set by OMP_NUM_THREADS")),
        (
            {"environ": {"OPENBLAS_NUM_THREADS": "2"}, "stored": 1},
            (2, "set by OPENBLAS_NUM_THREADS"),
        ),
        ({"environ": {"MKL_NUM_THREADS": "1"}, "stored": 2}, (2, "as before")),  # another BLAS
    ],
)
def test_what_is_known_beforehand_is_not_measured(given, expected):
    assert Machine().choose(**given) == expected


def test_the_default_model_is_small_and_one_of_twice_the_size_is_not():
    default, twice = Settings(), Settings(hidden=256)
    assert blas.small(build(default, 100), default.batch)
    assert not blas.small(build(twice, 100), twice.batch)
    assert blas.small(build(twice, 100), 1)  # while sampling
    edge = build(Settings(hidden=128), 100)  # 4 · 128 · 128 multiply-adds a sequence
    assert blas.small(edge, 64)
    assert not blas.small(edge, 65)


@pytest.fixture
def real():
    """The threads of NumPy here, where they are governed; as before afterwards."""
    before = blas.current(np)
    if before is None:
        pytest.skip("threadpoolctl does not know the BLAS of this NumPy")
    with threads.limited(before, "blas"):
        yield blas.current


def test_threads_are_limited_within_a_context_and_for_numpy_only(real):
    before = real(np)
    for count in (1, 2):
        with threads.limited(count, "blas"):
            assert real(np) == count
            with threads.limited(None, "blas"):
                assert real(np) == count
    assert real(np) == before
    assert real(type("Library", (), {"__name__": "jax.numpy"})) is None


def test_a_run_keeps_to_its_threads_and_a_resumed_one_to_those_it_had(
    real, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cats.txt").write_text("the cat sat on the mat; " * 40)
    for name in blas.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(blas, "current", lambda xp: 2)
    monkeypatch.setattr(blas, "SMALL", 0)
    step, seen = Trainer.step, []
    monkeypatch.setattr(Trainer, "step", lambda *a: seen.append(real(np)) or step(*a))

    def train(one, two, *more):
        monkeypatch.setattr(blas, "_measure", lambda *_: (one, two))
        assert main(["train", "--text", "cats.txt", "--steps", "2", *more]) == 0
        taken = {*seen}
        seen.clear()
        (line,) = [line for line in capsys.readouterr().out.splitlines() if "threads" in line]
        return taken, line, checkpoint.load(tmp_path / "model.safetensors").threads

    shape = ["--hidden", "7", "--batch", "3", "--chunk", "6"]
    assert train(1.0, 2.0, *shape) == (
        {1},
        "threads   1: a probe took 1.000 s with 1 and 2.000 s with 2",
        1,
    )
    assert train(2.0, 1.0, "--resume") == ({1}, "threads   1: as before", 1)
    assert train(2.0, 1.0, *shape, "--overwrite")[::2] == ({2}, 2)
    assert train(1.0, 2.0, "--resume") == ({2}, "threads   2: as before", 2)


def test_a_probe_leaves_no_trace_and_is_short(tmp_path):
    rng = np.random.default_rng(0)
    settings = Settings(hidden=5, batch=3, chunk=20)
    streams = rng.integers(7, size=(50, 3))
    trainer = Trainer(build(settings, 7), settings, streams, np)
    start = trainer.start()
    before = trainer.step(start)
    lengths = []
    forward = type(trainer.model).loss_and_gradients
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            type(trainer.model),
            "loss_and_gradients",
            lambda self, p, i, *a, **k: lengths.append(i.shape) or forward(self, p, i, *a, **k),
        )
        trainer.probe(start)
    assert lengths == [(4, 3)]
    after = trainer.step(start)
    assert after[1] == before[1]
    np.testing.assert_array_equal(
        after[0].params["readout"].weight, before[0].params["readout"].weight
    )
