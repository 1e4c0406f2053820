import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from xpbptt._arrays.tree import leaves, map_leaves
from xpbptt.commands.base.errors import TrainingError, UserError
from xpbptt.commands.train import checkpoint
from xpbptt.commands.train.checkpoint import Checkpoint
from xpbptt.commands.train.settings import Settings
from xpbptt.commands.train.tensors import digest
from xpbptt.commands.train.train import TrainState
from xpbptt.interop.torch import from_state_dict
from xpbptt.optim import adam

SETTINGS = Settings(cell="gru", hidden=3, layers=2, batch=4, chunk=5, learning_rate=0.02, seed=6)


@pytest.fixture
def stored():
    rng = np.random.default_rng(0)
    draft = Checkpoint(SETTINGS, 'aä"\n😀', "some text", "0" * 64, None)
    params = draft.model.init(0, xp=np)
    moments = adam().init(params)._replace(step=17)
    moments = moments._replace(
        mean=map_leaves(lambda a: rng.normal(size=a.shape).astype("f4"), moments.mean),
        square=map_leaves(lambda a: rng.random(size=a.shape).astype("f4"), moments.square),
    )
    state = draft.model.net.infer(params["net"], np.zeros((0, 4, 5), np.float32))[1]
    state = map_leaves(lambda a: rng.normal(size=a.shape).astype("f4"), state)
    progress = TrainState(params, moments, state, position=85)
    return Checkpoint(SETTINGS, 'aä"\n😀', "some text", "0" * 64, progress)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def assert_unchanged(path, content):
    """The file is as it was, and nothing lies beside it."""
    assert path.read_bytes() == content
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_what_is_saved_is_loaded(stored, path):
    checkpoint.save(path, stored)
    loaded = checkpoint.load(path)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    for name in ("settings", "vocabulary", "text_name", "text_digest"):
        assert getattr(loaded, name) == getattr(stored, name)
    before, after = dict(leaves(stored.progress)), dict(leaves(loaded.progress))
    assert before.keys() == after.keys()
    assert len(after) == 2 + 3 * 10 + 2  # step and position; parameters and moments; state
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)
    assert loaded.progress.moments.step == 17
    assert loaded.progress.position == 85


def test_the_tensors_have_pytorch_s_names(stored, path):
    checkpoint.save(path, stored)
    tensors = load_file(path)
    weights = from_state_dict(tensors, prefix="net.")
    expected = stored.progress.params["net"]
    assert len(weights) == 2
    for (name, got), (_, value) in zip(leaves(weights), leaves(expected), strict=True):
        np.testing.assert_array_equal(got, value, err_msg=name)
    np.testing.assert_array_equal(
        tensors["readout.weight"], stored.progress.params["readout"].weight
    )


def test_arrays_that_are_not_contiguous_are_saved_right(stored, path):
    params = map_leaves(
        lambda a: np.asfortranarray(np.repeat(a, 2, axis=-1))[..., ::2], stored.progress.params
    )
    assert not params["readout"].weight.flags.c_contiguous
    checkpoint.save(
        path, Checkpoint(**{**vars(stored), "progress": stored.progress._replace(params=params)})
    )
    got = checkpoint.load(path).progress.params["readout"].weight
    np.testing.assert_array_equal(got, stored.progress.params["readout"].weight)


def test_a_new_file_has_the_permissions_of_any_new_file(stored, path):
    before = os.umask(0o027)
    try:
        checkpoint.save(path, stored)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_symbolic_link_stays_one(stored, path, tmp_path):
    target = tmp_path / "elsewhere" / "real.safetensors"
    target.parent.mkdir()
    path.symlink_to(target)
    checkpoint.save(path, stored)
    assert path.is_symlink()
    assert checkpoint.load(target).text_name == "some text"
    assert [entry.name for entry in target.parent.iterdir()] == [target.name]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("place", ["os.fsync", "pathlib.Path.replace"])
def test_a_failure_while_writing_leaves_the_old_file(stored, path, monkeypatch, place, error):
    path.write_bytes(b"the old file")

    def fail(*_):
        raise error

    monkeypatch.setattr(place, fail)
    expected = TrainingError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as caught:
        checkpoint.save(path, stored)
    assert_unchanged(path, b"the old file")
    if expected is TrainingError:
        assert "could not be written and is as it was: No space left" in str(caught.value)


@pytest.mark.parametrize("junk", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_not_saved(stored, path, junk):
    path.write_bytes(b"the old file")
    stored.progress.moments.mean["net"][1].weight_hh[1, 2] = junk
    with pytest.raises(TrainingError, match="not finite after step 17"):
        checkpoint.save(path, stored)
    assert_unchanged(path, b"the old file")


@pytest.mark.parametrize("length", [0, 5, 8, 100, 2000, -1])
def test_a_truncated_file_is_refused(stored, path, length):
    checkpoint.save(path, stored)
    content = path.read_bytes()[:length]
    path.write_bytes(content)
    for function in (checkpoint.load, checkpoint.check_writable):
        with pytest.raises(UserError, match="no model file, or a truncated one"):
            function(path)
    assert_unchanged(path, content)


@pytest.mark.parametrize(
    "content", [b"a letter to my aunt", b"\x89PNG\r\n\x1a\n" + bytes(300), b"{}", bytes(64)]
)
def test_a_foreign_file_is_refused(path, content):
    path.write_bytes(content)
    for function in (checkpoint.load, checkpoint.check_writable):
        with pytest.raises(UserError, match=r"model\.safetensors is no model file"):
            function(path)
    assert_unchanged(path, content)


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        checkpoint.load(tmp_path / "missing")
    with pytest.raises(UserError, match="Is a directory"):
        checkpoint.load(tmp_path)
    with pytest.raises(UserError, match="null"):
        checkpoint.load(Path("a\0b"))


def rewrite(path, *, metadata=None, **changes):
    """Change the metadata, and the tensors of these names; None takes one away."""
    with safe_open(path, framework="np") as file:
        before = json.loads(file.metadata()["xpbptt"])
    tensors = {**load_file(path), **changes}
    tensors = {name: array for name, array in tensors.items() if array is not None}
    after = metadata(before) if metadata else before
    after = after if isinstance(after, str) else json.dumps(after)
    save_file(tensors, path, metadata={"xpbptt": after, "xpbptt-sha256": digest(after, tensors)})


def with_setting(name, value):
    return lambda m: {**m, "settings": {**m["settings"], name: value}}


@pytest.mark.parametrize(
    ("metadata", "match"),
    [
        (lambda _: "{", "damaged metadata"),
        (lambda _: "[1]", "damaged metadata"),
        (lambda _: {}, "has the format None"),
        (lambda m: {**m, "format": "character model 3"}, "has the format 'character model 3'"),
        (lambda m: {**m, "more": 1}, "damaged metadata.*more"),
        (lambda m: {k: v for k, v in m.items() if k != "step"}, "damaged metadata.*step"),
        (lambda m: {**m, "step": -1}, "damaged metadata.*counts"),
        (lambda m: {**m, "position": 1.5}, "damaged metadata.*counts"),
        (lambda m: {**m, "threads": 0}, "damaged metadata.*threads"),
        (lambda m: {**m, "threads": True}, "damaged metadata.*threads"),
        (lambda m: {**m, "threads": "2"}, "damaged metadata.*threads"),
        (lambda m: {**m, "vocabulary": ["a"]}, "damaged metadata.*texts"),
        (lambda m: {**m, "vocabulary": ""}, "damaged metadata.*vocabulary"),
        (lambda m: {**m, "vocabulary": "aabcd"}, "damaged metadata.*repetitions"),
        (lambda m: {**m, "vocabulary": "ab"}, "does not match its own settings"),
        (lambda m: {**m, "settings": None}, "damaged metadata"),
        (lambda m: {**m, "settings": {"cell": "gru"}}, "damaged metadata.*expected the settings"),
        (with_setting("cell", "lstm"), "does not match its own settings"),
        (with_setting("cell", "transformer"), "damaged metadata.*`cell`"),
        (with_setting("hidden", 4), "does not match its own settings"),
        (with_setting("hidden", "3"), "damaged metadata.*`hidden`"),
        (with_setting("layers", 1), "it lacks .*, and has .*net.weight_ih_l1"),
        (with_setting("batch", 2), "does not match its own settings: state.0.h is F32"),
    ],
)
def test_metadata_that_are_not_those_of_the_file_are_refused(stored, path, metadata, match):
    checkpoint.save(path, stored)
    rewrite(path, metadata=metadata)
    content = path.read_bytes()
    with pytest.raises(UserError, match=match):
        checkpoint.load(path)
    assert_unchanged(path, content)


def test_threads_are_stored_and_files_from_before_they_were_are_read(stored, path):
    checkpoint.save(path, replace(stored, threads=3))
    assert checkpoint.load(path).threads == 3
    rewrite(path, metadata=lambda m: {k: v for k, v in m.items() if k != "threads"})
    assert checkpoint.load(path).threads is None


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"readout.bias": None}, r"lacks \['readout.bias'\]"),
        ({"more": np.ones(2, np.float32)}, r"has \['more'\]"),
        ({"readout.bias": np.ones(4, np.float32)}, r"readout.bias is F32 \(4,\), expected"),
        ({"readout.bias": np.ones(5)}, "readout.bias is F64"),
        ({"readout.bias": np.full(5, np.nan, np.float32)}, "not finite"),
    ],
)
def test_tensors_that_are_not_those_of_the_settings_are_refused(stored, path, changes, match):
    checkpoint.save(path, stored)
    rewrite(path, **changes)
    with pytest.raises(UserError, match=match):
        checkpoint.load(path)


def test_a_safetensors_file_of_something_else_is_refused(path):
    save_file({"weights": np.ones((2, 3))}, path, metadata={"format": "pt"})
    with pytest.raises(UserError, match="is a safetensors file, but none that `xpbptt train`"):
        checkpoint.check_writable(path)


def test_a_place_that_cannot_be_written_is_refused(tmp_path, stored, path, monkeypatch):
    checkpoint.check_writable(path)
    assert list(tmp_path.iterdir()) == []
    checkpoint.save(path, stored)
    checkpoint.check_writable(path)
    for bad, reason in [
        (tmp_path / "nowhere" / "m", "No such file"),
        (path / "m", "Not a directory"),
        (Path("a\0b"), "null"),
        (tmp_path / ("x" * 300), "too long"),
    ]:
        with pytest.raises(UserError, match=f"cannot be written: .*{reason}"):
            checkpoint.check_writable(bad)
    with pytest.raises(UserError, match="Is a directory"):
        checkpoint.check_writable(tmp_path)

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(UserError, match="cannot be written: Permission denied"):
        checkpoint.check_writable(path)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
