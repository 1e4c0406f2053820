"""Trees in files: `xpbptt.save` and `xpbptt.load`."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import xpbptt
from xpbptt._arrays import atomic


class Mine(NamedTuple):
    a: Any
    b: Any


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tree.safetensors"


def same(one, other):
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        return all(same(one[key], other[key]) for key in one)
    if isinstance(one, (tuple, list)):
        return len(one) == len(other) and all(map(same, one, other))
    if hasattr(one, "shape"):
        assert one.dtype == other.dtype
        return one.shape == other.shape and bool(np.all(one == other))
    return one == other


def test_parameters_state_and_optimiser_there_and_back(xp, path, normal, assert_close):
    net = xpbptt.LSTM(3, 5, 2, bidirectional=True)
    params = net.init(0, xp=xp, dtype=xp.float64)
    _, state = net.infer(params, normal(2, 4, 3))
    xpbptt.save(path, (params, state))
    assert_close(xpbptt.load(path, xp=xp), (params, state), 0)
    _, memory = xpbptt.adam(0.1).update(params, xpbptt.adam(0.1).init(params), params)
    xpbptt.save(str(path), memory)
    loaded = xpbptt.load(str(path), xp=xp)
    assert (type(loaded), loaded.step) == (type(memory), 1)
    assert_close(loaded.mean, memory.mean, 0)


def test_every_kind_of_node(path):
    tree = {
        "b": [np.arange(3), (np.float32(2) * np.ones((2, 3, 0)), None)],
        "a": (),
        "number": 3,
        "sum": [0.5, True, np.asarray(7.0)],
        "half": np.ones(2, np.float16),
        "flags": np.asarray([True, False]),
        "readout": xpbptt.Linear(3, 2).init(0),
    }
    xpbptt.save(path, tree)
    assert same(xpbptt.load(path), tree)
    xpbptt.save(path, np.ones(2))
    assert same(xpbptt.load(path), np.ones(2))


def test_arrays_in_any_order_and_byte_order_are_written_right(path):
    array = np.arange(12.0).reshape(3, 4)
    xpbptt.save(path, (array.T, array[::-1, ::2], array.astype(">f8")))
    assert same(xpbptt.load(path), (array.T.copy(), array[::-1, ::2].copy(), array))


def test_other_programs_read_it_by_names(path):
    params = xpbptt.GRU(3, 5).init(0)
    xpbptt.save(path, {"encoder": params})
    assert set(load_file(path)) == {f"encoder.0.{field}" for field in params[0]._fields[:4]}


def test_named_tuples_of_ones_own(path):
    xpbptt.save(path, [Mine(np.ones(2), None)])
    with pytest.raises(ValueError, match=r"tree\.safe.* holds a .*Mine: pass .* `types=\[Mine\]`"):
        xpbptt.load(path)
    assert same(xpbptt.load(path, types=[Mine]), [Mine(np.ones(2), None)])


@pytest.mark.parametrize(
    ("tree", "error", "text"),
    [
        ({"a": "text"}, TypeError, r"`tree\['a'\]` must be an array"),
        ({"a": {1: np.ones(2)}}, TypeError, r"`tree\['a'\]` has keys that are not str: \[1\]"),
        ({"a": np.ones(2, complex)}, TypeError, r"`tree\['a'\]` has dtype complex128, which the"),
        ({"a.b": np.ones(2), "a": {"b": np.ones(2)}}, ValueError, r"same name in the file.*'a.b'"),
    ],
)
def test_what_cannot_be_saved_is_refused_and_nothing_changes(path, tree, error, text):
    path.write_bytes(b"as it was")
    with pytest.raises(error, match=text):
        xpbptt.save(path, tree)
    assert path.read_bytes() == b"as it was"


def test_a_dtype_that_numpy_does_not_have_is_named(torch, path):
    with pytest.raises(TypeError, match=r"`tree\[0\]` has dtype torch.bfloat16, which NumPy"):
        xpbptt.save(path, (torch.ones(2, dtype=torch.bfloat16),))
    assert not path.exists()


def test_a_failure_while_writing_leaves_the_old_file(path, monkeypatch):
    xpbptt.save(path, (np.ones(3),))

    def fail(_):
        message = "no space"
        raise OSError(message)

    monkeypatch.setattr(os, "fsync", fail)
    assert atomic.os is os
    with pytest.raises(OSError, match="no space"):
        xpbptt.save(path, (np.zeros(3),))
    assert same(xpbptt.load(path), (np.ones(3),))
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_files_of_others_are_refused(path):
    save_file({"weight_ih_l0": np.ones((4, 3))}, path)
    with pytest.raises(ValueError, match=r"another program, with \['weight_ih_l0'\].*from_state_d"):
        xpbptt.load(path)
    path.write_bytes(b"PK\3\4 a zip file or so")
    with pytest.raises(ValueError, match="no safetensors file, or a damaged one"):
        xpbptt.load(path)
    with pytest.raises(FileNotFoundError):
        xpbptt.load(path.with_name("nowhere"))


def test_a_truncated_file_is_refused(path):
    xpbptt.save(path, xpbptt.RNN(3, 5).init(0))
    content = path.read_bytes()
    for size in (0, 4, 8, 40, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match=r"tree.safetensors is no safetensors file, or a dam"):
            xpbptt.load(path)


@pytest.mark.parametrize(
    ("structure", "text"),
    [
        ('{"array": "b"}', "lacks the tensor 'b'"),
        ('{"tuple": []}', r"\['a'\] are in no place of its tree"),
        ('{"tuple": [1]}', "cannot be loaded"),
        ("[[", "cannot be loaded"),
        ('{"type": "os.system", "parts": [{"array": "a"}]}', "holds a os.system"),
        ('{"type": "xpbptt.cells.gru.State", "parts": []}', "cannot be loaded"),
        ('{"list": [' * 5000, "cannot be loaded"),
    ],
)
def test_a_structure_that_does_not_fit_is_refused(path, structure, text):
    save_file({"a": np.ones(2)}, Path(path), metadata={"xpbptt-tree": structure})
    with pytest.raises(ValueError, match=text):
        xpbptt.load(path)
