import tracemalloc
from importlib.util import find_spec

import numpy as np
import pytest
from helpers import cover

from xpbptt import backends
from xpbptt._arrays.tree import leaves
from xpbptt.commands.base.errors import UserError
from xpbptt.commands.main import main
from xpbptt.commands.train import cost, job, memory
from xpbptt.commands.train.host import on_host
from xpbptt.commands.train.model import build
from xpbptt.commands.train.settings import Settings
from xpbptt.commands.train.train import Trainer

SMALL = ["--batch", "3", "--chunk", "6"]
CELLS = ("rnn", "gru", "lstm")


def peak(settings, characters):
    """Run two steps and return the most bytes that Python and NumPy had at a time."""
    ids = np.random.default_rng(0).integers(characters, size=(settings.chunk + 1) * settings.batch)
    model = build(settings, characters)
    xp = backends.load("numpy")
    streams = ids.astype(np.uint16).reshape(-1, settings.batch)
    trainer = Trainer(model, settings, streams, xp)
    trainer.probe(trainer.start())  # compiles the cell
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        start = trainer.start()  # which a run keeps
        progress, _ = trainer.step(start)
        progress, _ = trainer.step(progress)
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@cover(
    ("cell", "sizes"),
    CELLS,
    [
        (31, {"hidden": 500, "batch": 2, "chunk": 3}),  # the parameters take most of it
        (30, {"hidden": 300, "batch": 2, "chunk": 3, "layers": 3}),
        (64, {"hidden": 48, "batch": 50, "chunk": 100}),  # the states do
        (60, {"hidden": 48, "batch": 40, "chunk": 60, "layers": 4}),
        (900, {"hidden": 5, "batch": 20, "chunk": 90}),  # the logits do
        (100, {}),
    ],
    strength=1,
)
def test_the_memory_of_a_run_is_known_beforehand(cell, sizes):
    characters, shape = sizes
    settings = Settings(cell=cell, **shape)
    # Cells that are not compiled take up to an eighth more than is counted.
    least = 0.95 if find_spec("numba") else 0.85
    assert least < cost.training(settings, characters) / peak(settings, characters) < 1.25


@cover(("cell", "layers"), CELLS, [1, 2, 3, 4, 7], strength=1)
def test_parameters_are_counted_of_any_number_of_layers(cell, layers):
    settings = Settings(cell=cell, hidden=5, layers=layers)
    params = build(settings, 11).init(0, xp=np)
    count = sum(array.size for _, array in leaves(params))
    assert cost.parameters(settings, 11) == count
    assert cost.saved(settings, 11) == 12 * count


HUGE = {
    "--hidden 100000": "--hidden 100000, --layers 1, --batch 3",
    "--hidden 20000 --cell rnn": "--hidden 20000",
    "--hidden 5000 --layers 1000": "--hidden 5000, --layers 1000",
    f"--hidden {10**30}": "more than 1000 EB",
    f"--hidden {10**300} --layers 999": "more than 1000 EB",
}


@pytest.fixture
def texts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cats.txt").write_text("the cat sat on the mat; " * 400)
    monkeypatch.setattr(memory, "available", lambda: 16_000_000_000)
    monkeypatch.setattr(Trainer, "start", lambda *_: pytest.fail("the model was made"))


@pytest.mark.parametrize("options", HUGE)
def test_a_model_that_will_not_fit_is_refused_before_anything_is_made(
    texts, capsys, options, tmp_path
):
    tracemalloc.start()
    try:
        code = main(["train", "--text", "cats.txt", *SMALL, *options.split()])
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert err.startswith("xpbptt: error: a model of --hidden ")
    assert err.endswith("of memory, but 16.0 GB are available: take smaller numbers\n")
    assert err.count("\n") == 1
    assert HUGE[options] in err
    assert most < 50e6
    assert [path.name for path in tmp_path.iterdir()] == ["cats.txt"]


def test_the_figure_that_a_model_is_refused_with(texts, capsys, monkeypatch):
    settings = Settings(hidden=40, batch=5, chunk=1000)
    need = cost.training(settings, 11)
    assert need > 3 * cost.least(settings, 11)  # a long chunk
    command = ["train", "--text", "cats.txt", "--hidden", "40", "--batch", "5", "--chunk", "1000"]
    monkeypatch.setattr(memory, "available", lambda: need - 1)
    assert main(command) == 2
    assert f"needs {memory.words(need)} of memory" in capsys.readouterr().err
    monkeypatch.setattr(memory, "available", lambda: need)
    with pytest.raises(pytest.fail.Exception, match="the model was made"):
        main(command)


def test_on_a_device_of_its_own_memory_only_what_is_saved_has_to_fit(xp, monkeypatch):
    settings = Settings()
    monkeypatch.setattr(job, "on_host", lambda _: False)
    need = cost.saved(settings, 100)
    monkeypatch.setattr(memory, "available", lambda: need)
    job._check_memory(settings, 100, xp)
    monkeypatch.setattr(memory, "available", lambda: need - 1)
    with pytest.raises(UserError, match="take smaller numbers"):
        job._check_memory(settings, 100, xp)


def test_where_the_arrays_are():
    assert on_host(backends.load("numpy"))
    assert on_host(backends.load("array-api-strict"))
    array = type("Array", (), {"__dlpack_device__": lambda self: (2, 0)})()
    assert not on_host(type("Library", (), {"ones": lambda _: array}))


def test_memory_that_runs_out_all_the_same_is_told_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cats.txt").write_text("the cat sat on the mat; " * 400)

    def full(*_):
        raise MemoryError

    monkeypatch.setattr(Trainer, "step", full)
    assert main(["train", "--text", "cats.txt", "--batch", "3", "--chunk", "6"]) == 1
    assert capsys.readouterr().err == "xpbptt: error: out of memory: take smaller numbers\n"


@pytest.mark.parametrize("digits", [400, 4_000])
@pytest.mark.parametrize(
    "options", [["--hidden"], ["--batch"], ["--chunk"], ["--batch", "--chunk"]]
)
def test_numbers_beyond_all_floats_are_refused_in_one_line(texts, capsys, options, digits):
    number = "9" * digits
    command = ["train", "--text", "cats.txt", *SMALL]
    assert main([*command, *(word for option in options for word in (option, number))]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "take " in err
    assert "smaller numbers" in err
