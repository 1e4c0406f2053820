"""Model files that somebody made to do harm, or that a disk has damaged: one line, exit code 2."""

import hashlib
import json
import os
import resource
import struct
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import xpbptt
from xpbptt._arrays.tree import leaves, map_leaves
from xpbptt.commands.base.errors import UserError
from xpbptt.commands.main import main
from xpbptt.commands.train import checkpoint, job, layout, tensors
from xpbptt.commands.train.checkpoint import Checkpoint
from xpbptt.commands.train.job import VOCABULARY_MOST
from xpbptt.commands.train.model import build
from xpbptt.commands.train.settings import LAYERS_MOST, Settings
from xpbptt.commands.train.train import TrainState
from xpbptt.optim import adam

SETTINGS = Settings(cell="rnn", hidden=3, batch=2, chunk=5)
VOCABULARY = "\nab\x1b"


def write_model(path, change=lambda a: a):
    """Write a whole model file."""
    draft = Checkpoint(SETTINGS, VOCABULARY, "a\x1b]0;name", "0" * 64, None)
    params = map_leaves(change, draft.model.init(0, xp=np))
    state = draft.model.net.infer(params["net"], np.zeros((0, 2, 4), np.float32))[1]
    progress = TrainState(params, adam().init(params), state, 5)
    checkpoint.save(path, Checkpoint(**{**vars(draft), "progress": progress}))


def metadata_of(**changes):
    names = {"text_name": "x", "text_digest": "0" * 64, "step": 1, "position": 5}
    whole = {"format": checkpoint.FORMAT, "vocabulary": VOCABULARY, **names}
    return {**whole, "settings": asdict(SETTINGS), **changes}


def put(path, metadata, **more):
    """Write the metadata, and the digest that belongs to them, around the tensors of a model."""
    write_model(path)
    arrays = {**load_file(path), **more}
    text = metadata if isinstance(metadata, str) else json.dumps(metadata)
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(arrays[name])
    save_file(arrays, path, metadata={"xpbptt": text, "xpbptt-sha256": digest.hexdigest()})


def without_digest(path, form):
    write_model(path)
    save_file(load_file(path), path, metadata={"xpbptt": json.dumps(metadata_of(format=form))})


def put_header(path, header, size=0, length=None):
    """Write a file with this header, and `size` zeros of which the disk keeps none."""
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header) if length is None else length) + header)
        file.truncate(file.tell() + size)


def with_setting(name, value):
    settings = {**asdict(SETTINGS), name: value}
    return lambda path: put(path, metadata_of(settings=settings))


def with_big_number(path, name, digits):
    """A number that `json.dumps` would refuse to write."""
    text = json.dumps(metadata_of(**{name: "NUMBER"}))
    put(path, text.replace('"NUMBER"', "9" * digits))


def with_large_tensor(path):
    """The header of a model and of 4 GB more that belong to nothing."""
    size = 4_000_000_000
    put_header(
        path,
        {
            "__metadata__": {"xpbptt": json.dumps(metadata_of())},
            "more": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]},
        },
        size,
    )


def with_many_tensors(path, count=35_000):
    name = "the weights of a net that nobody knows \x1b[2J"
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    put_header(
        path,
        {
            "__metadata__": {"xpbptt": json.dumps(metadata_of())},
            **{f"{name}{i}": empty for i in range(count)},
        },
    )


HOSTILE = {
    "nested lists": lambda p: put(p, "[" * 100_000 + "]" * 100_000),
    "nested objects": lambda p: put(p, '{"a":' * 100_000 + "1" + "}" * 100_000),
    "nested lists, not so many": lambda p: put(p, "[" * 990 + "]" * 990),
    "a nested setting": with_setting("cell", json.loads("[" * 900 + "]" * 900)),
    "a nested header": lambda p: put_header(p, b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "a million empty lists": lambda p: put(p, "[" + "[]," * 1_300_000 + "[]]"),
    "a million keys": lambda p: put(p, {f"{i}": 0 for i in range(270_000)}),
    "10^6 layers": with_setting("layers", 10**6),
    "10^9 layers": with_setting("layers", 10**9),
    "10^30 layers": with_setting("layers", 10**30),
    "1000 layers": with_setting("layers", 1000),
    "10^9 hidden units": with_setting("hidden", 10**9),
    "10^400 hidden units": with_setting("hidden", 10**400),
    "10^400 streams": with_setting("batch", 10**400),
    "a rate that is infinite": lambda p: put(p, json.dumps(metadata_of()).replace("0.01", "1e999")),
    "10^400 steps": lambda p: put(p, metadata_of(step=10**400)),
    "10^30 steps": lambda p: put(p, metadata_of(step=10**30)),
    "a position of 5000 digits": lambda p: with_big_number(p, "position", 5000),
    "a long key": lambda p: put(p, metadata_of(**{"\x1b[31m" * 200_000: 1})),
    "a key": lambda p: put(p, metadata_of(**{"\x1b[31mred\x9b": 1})),
    "a long format": lambda p: put(p, metadata_of(format="x" * 3_000_000)),
    "a format": lambda p: put(p, metadata_of(format={"\x1b[31m": ["\u202e"]})),
    "a setting": lambda p: put(p, metadata_of(settings={"\x1b[31m\n\r\n": 1})),
    "a large vocabulary": lambda p: put(
        p, metadata_of(vocabulary="".join(map(chr, range(0x10000, 0x10000 + 250_000))))
    ),
    "35,000 tensors": with_many_tensors,
    "a tensor of 4 GB": with_large_tensor,
    "a tensor's name": lambda p: put(p, metadata_of(), **{"\x1b[2J": np.ones(1, np.float32)}),
    "a header of 90 MB": lambda p: put_header(p, b"{", 90_000_000, length=90_000_000),
    "a header of 2^64 bytes": lambda p: put_header(p, b"{}", length=2**64 - 1),
    "a header longer than the file": lambda p: put_header(p, b"{}", length=3_000_000),
    "huge weights": lambda p: write_model(p, lambda a: np.copysign(np.float32(3e38), a)),
    "a digest that is missing": lambda p: without_digest(p, checkpoint.FORMAT),
    "tensors that are missing": lambda p: put_header(
        p, {"__metadata__": {"xpbptt": json.dumps(metadata_of())}}
    ),
    "a pipe": os.mkfifo,
}


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Path("model.safetensors")


def assert_one_line(text):
    assert text.startswith("xpbptt: error: ")
    assert text.endswith("\n")
    assert text[:-1].isprintable()
    assert len(text) < 1500


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_is_refused_in_one_line(path, capsys, kind):
    HOSTILE[kind](path)
    assert main(["sample", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert_one_line(err)


def test_hostile_files_take_little_memory(path, tmp_path):
    """All of them in one process, whose peak is compared with that of a process that does nothing.

    In 60 s at most: it takes seconds, and one of them that is built or read takes minutes.
    """
    names = [name for name in HOSTILE if name != "huge weights"]  # that is run, and compiled
    for number, kind in enumerate(names):
        HOSTILE[kind](tmp_path / str(number))

    def peak(*files):
        code = (
            "import resource, sys\n"
            "from safetensors.numpy import load_file\n"
            "from xpbptt.commands.main import main\n"
            "assert all(main(['sample', name]) == 2 for name in sys.argv[1:])\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, *files],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            env={**os.environ, "PYTHONPATH": str(Path(xpbptt.__file__).parents[1])},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)),
        )
        assert len(done.stderr) < 1500 * len(names)
        return int(done.stdout) * 1024

    assert peak(*map(str, range(len(names)))) - peak() < 150_000_000


@pytest.mark.parametrize(
    ("more", "match"), [(0, "none that `xpbptt train` wrote"), (1, "its header has 4194305 bytes")]
)
def test_a_header_is_read_up_to_its_bound(path, more, match):
    header = b'{"__metadata__":{"format":"pt"}}'
    put_header(path, header.ljust(tensors.HEADER_MOST + more))
    with pytest.raises(UserError, match=match):
        checkpoint.load(path)


def test_a_model_of_the_most_layers_and_characters_has_a_header_within_its_bound():
    settings = Settings(cell="lstm", layers=LAYERS_MOST, hidden=1000)
    places = layout.trees(build(settings, VOCABULARY_MOST), settings.batch)
    count = len(list(leaves(places)))
    entry = {"dtype": "F32", "shape": [4000, 180_000], "data_offsets": [10**14, 10**14]}
    names = sum(len(place.name) for _, place in leaves(places))
    character = len(json.dumps(json.dumps("\U0001f600"))) - 6  # JSON within JSON
    assert character == 14
    size = (
        names
        + count * (len(json.dumps(entry, separators=(",", ":"))) + 4)
        + character * VOCABULARY_MOST
        + 2000
    )
    assert size < tensors.HEADER_MOST


def test_a_text_of_more_characters_than_a_model_file_holds_is_refused(path, capsys, monkeypatch):
    Path("text.txt").write_text("abcd" * 100)
    monkeypatch.setattr(job, "VOCABULARY_MOST", 3)
    command = ["train", "--text", "text.txt", "--batch", "2", "--chunk", "3", "--steps", "1"]
    assert main(command) == 2
    assert "text.txt has 4 different characters, more than the 3 of" in capsys.readouterr().err
    monkeypatch.setattr(job, "VOCABULARY_MOST", 4)
    assert main(command) == 0


@pytest.mark.parametrize(("commas", "fits"), [(900, True), (1000, False)])
def test_metadata_are_read_up_to_a_number_of_parts(path, commas, fits):
    put(path, metadata_of(text_name="," * commas))
    if fits:
        assert checkpoint.load(path).text_name == "," * commas
    else:
        with pytest.raises(UserError, match="damaged metadata: expected at most 1000 parts"):
            checkpoint.load(path)


def test_huge_settings_that_fit_the_tensors_are_refused_by_the_command_that_uses_them(path, capsys):
    Path("text.txt").write_text("\nab\x1b" * 100)
    with_setting("chunk", 10**400)(path)
    assert main(["train", "--text", "text.txt", "--resume", str(path)]) == 2
    assert_one_line(capsys.readouterr().err)
    for change in (["--seed", "9" * 400], ["--chunk", "9"], ["--layers", "1001"]):
        assert main(["train", "--text", "text.txt", "--resume", str(path), *change]) == 2
        assert_one_line(capsys.readouterr().err)
    assert main(["train", "--text", "text.txt", "--layers", "1001"]) == 2
    err = capsys.readouterr().err
    assert err == "xpbptt: error: `layers` must be at most 1000, got 1001\n"


def test_names_in_a_model_file_reach_the_terminal_escaped(path, capsys):
    write_model(path)
    Path("other.txt").write_text("\nab\x1b" * 100)
    assert main(["train", "--text", "other.txt", "--resume", str(path)]) == 2
    err = capsys.readouterr().err
    assert_one_line(err)
    assert r"was trained on the text a\x1b]0;name, but this one, other.txt" in err


def test_a_sample_has_no_control_characters_but_line_breaks_and_tabs(path, capsys):
    put(path, metadata_of(vocabulary="\n\t\x1b\x9b"))
    assert main(["sample", str(path), "--prompt", "\x1b\n\t\x9b", "--length", "60"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("\\x1b\n\t\\x9b")
    assert not set(out) - set("\n\t\\x19b")
    assert out[10:].count("\\x") > 10


def test_a_file_of_an_older_version_without_a_digest_is_read(path, caplog):
    without_digest(path, "character model 1")
    assert main(["sample", str(path), "--length", "3"]) == 0
    assert caplog.messages == [
        "model.safetensors comes from an older version and has no digest: damage would go unnoticed"
    ]
    checkpoint.check_writable(path)
    assert len(caplog.messages) == 1


def damaged(path, content):
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        checkpoint.load(path)
    return str(caught.value)


def test_every_flipped_bit_is_noticed(path):
    write_model(path)
    whole = path.read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    random = np.random.default_rng(0)
    in_header = random.integers(8 * (8 + length), size=500)
    in_data = random.integers(8 * (8 + length), 8 * len(whole), size=500)
    for bit in (*map(int, in_header), *map(int, in_data)):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        assert len(damaged(path, bytes(content))) < 10_000
    assert "is damaged: its contents are not those that were saved" in damaged(path, content)


def test_every_truncation_is_noticed(path):
    write_model(path)
    whole = path.read_bytes()
    for length in np.random.default_rng(0).integers(len(whole), size=300):
        damaged(path, whole[: int(length)])
    damaged(path, whole + b"\0")
