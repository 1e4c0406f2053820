"""Compiled code on disk: found again, by nobody else, and never in the way."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("llvmlite", reason="nothing is compiled without llvmlite")

from xpbptt.kernels.llvm import build, disk, library, machine, vectors
from xpbptt.kernels.llvm.code import Code


@pytest.fixture
def folder(tmp_path, monkeypatch):
    place = tmp_path / "made" / "here"
    monkeypatch.setenv(disk.VARIABLE, str(place))
    return place


def source(number):
    kind = vectors.vector("float32", machine.features())
    code = Code("run", ("ptr %frame",), "")
    kind.store(code, kind.constant(number), "%frame")
    return f"{library.declarations(kind)}\n{code.text()}"


def compilations(monkeypatch):
    made, compiled = [], build.compiled
    monkeypatch.setattr(build, "compiled", lambda text: made.append(text) or compiled(text))
    return made


def test_what_was_compiled_is_found_again(folder, monkeypatch):
    made = compilations(monkeypatch)
    for _ in range(3):
        build.load(source(1.5))
    build.load(source(2.5))
    assert len(made) == 2
    assert len(list(folder.iterdir())) == 2
    monkeypatch.setattr(build, "processor", lambda: "another one")
    build.load(source(1.5))
    assert len(made) == 3


def test_it_can_be_turned_off(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv(disk.VARIABLE, "0")
    made = compilations(monkeypatch)
    build.load(source(1.5))
    build.load(source(1.5))
    assert len(made) == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("cut", [0, 10, 40, -1])
def test_a_file_that_was_cut_short_or_changed_is_made_again(folder, monkeypatch, cut):
    made = compilations(monkeypatch)
    build.load(source(1.5))
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:cut] if cut >= 0 else whole[:-1] + bytes([whole[-1] ^ 1]))
    build.load(source(1.5))
    assert len(made) == 2
    assert path.read_bytes() == whole


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs the owners of files")
def test_nothing_is_read_that_another_user_may_have_written(folder, monkeypatch):
    made = compilations(monkeypatch)
    build.load(source(1.5))
    (path,) = folder.iterdir()
    path.chmod(0o620)
    build.load(source(1.5))
    assert len(made) == 2
    folder.chmod(0o770)
    build.load(source(1.5))
    assert len(made) == 3
    folder.chmod(0o700)
    path.unlink(missing_ok=True)
    other = folder.parent / "elsewhere"
    other.write_bytes(b"")
    path.symlink_to(other)
    build.load(source(1.5))
    assert len(made) == 4
    mine = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: mine + 1)
    build.load(source(1.5))
    assert len(made) == 5


def test_a_folder_that_cannot_be_used_is_no_error(tmp_path, monkeypatch):
    made = compilations(monkeypatch)
    file = tmp_path / "file"
    file.write_text("not a folder")
    for place in (file, file / "below", "/proc/nothing/here"):
        monkeypatch.setenv(disk.VARIABLE, str(place))
        build.load(source(1.5))
    assert len(made) == 3
    assert file.read_text() == "not a folder"


def test_several_processes_may_write_at_once(folder):
    code = f"from xpbptt.kernels.llvm import build; build.load({source(3.5)!r})"
    environ = os.environ | {disk.VARIABLE: str(folder)}
    running = [subprocess.Popen([sys.executable, "-c", code], env=environ) for _ in range(3)]
    assert [each.wait(60) for each in running] == [0, 0, 0]
    assert [path.name[0] != "." for path in folder.iterdir()] == [True]


def test_a_second_process_compiles_nothing(folder):
    code = (
        "import numpy as np, xpbptt\n"
        "from xpbptt.kernels.llvm import build\n"
        "made, compiled = [], build.compiled\n"
        "build.compiled = lambda text: made.append(text) or compiled(text)\n"
        "net = xpbptt.LSTM(3, 5)\n"
        "y, _, cache = net.forward(net.init(0), np.ones((7, 2, 3), dtype=np.float32))\n"
        "net.backward(cache, y)\n"
        "print(len(made))\n"
    )
    environ = os.environ | {disk.VARIABLE: str(folder)}
    counts = [
        int(subprocess.check_output([sys.executable, "-c", code], env=environ)) for _ in range(2)
    ]
    assert counts[0] > 0
    assert counts[1] == 0
