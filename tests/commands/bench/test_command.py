"""The command: what it prints and writes, and what it refuses."""

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import xpbptt
from xpbptt.commands.base import machine, threads
from xpbptt.commands.bench import command, measure, ours, peers
from xpbptt.commands.bench.cases import Case
from xpbptt.commands.bench.contestant import Contestant
from xpbptt.commands.main import main
from xpbptt.kernels.llvm import call as loops

NOTEBOOK = ("--peer", "notebook")


def test_the_table_and_the_json_of_a_tiny_row(bench):
    code, out, err = bench("--cell", "lstm", "--dtype", "float64", *NOTEBOOK, "--json", "report")
    assert (code, err) == (0, "")
    assert "Forward and backward" in out
    assert "The same on sequences of T/2 to T steps" in out
    assert "Forward alone, nothing kept for a backward pass" in out
    train, *_ = [line for line in out.splitlines() if line.startswith("lstm")]
    assert train.split()[:5] == ["lstm", "float64", "4", "3", "2"]
    report = json.loads(Path("report").read_text())
    assert {"cpu", "date", "versions", "blas", "warnings", "missing", "device"} <= report.keys()
    assert (report["backend"], report["threads"], report["threads_fixed"]) == ("numpy", 1, True)
    assert report["command"].startswith("python -m xpbptt bench --quick")
    first, masked, infer = report["rows"]
    assert {name: first[name] for name in Case._fields} == {
        "kind": "train", "cell": "lstm", "dtype": "float64", "steps": 4, "batch": 3, "size": 2,
    }  # fmt: skip
    mine, floor, notebook = first["xpbptt"], first["floor"], first["peers"]["notebook"]
    assert notebook["ratio"] == mine["median"] / notebook["median"]
    assert floor["ratio"] == mine["median"] / floor["median"]
    assert min(each["runs"] for each in (mine, floor, notebook)) >= command.LEAST_QUICK
    assert notebook["difference"] < 1e-12
    assert first["kept_bytes"] == xpbptt.LSTM(2, 2).cost(4, 3, "float64").bytes
    assert first["engine"] in {"sequence", "eager"}
    assert masked["peers"]["notebook"] == {"note": "no masks", "difference": None}
    assert infer["peers"]["notebook"] == {"note": "no inference", "difference": None}
    assert infer["kept_bytes"] == 0


def test_json_to_standard_output_leaves_the_text_to_the_other_stream(bench):
    kinds = ("--kind", "stream", "--kind", "step")
    code, out, err = bench(*kinds, "--cell", "rnn", *NOTEBOOK, "--json", "-")
    assert code == 0
    assert [(row["kind"], row["dtype"]) for row in json.loads(out)["rows"]] == [
        (kind, dtype) for kind in ("step", "stream") for dtype in ("float32", "float64")
    ]
    assert "One time step of a stream, by net.step, µs" in err
    assert "One time step of a stream, by net.stream, µs" in err


def test_it_runs_with_the_threads_asked_for(bench, monkeypatch):
    seen, real = [], measure.measure

    def watched(*arguments, **options):
        seen.append({*threads.counts(), loops.count(), options["threads"]})
        return real(*arguments, **options)

    monkeypatch.setattr(command, "measure", watched)
    before = threads.counts(), loops.count()
    for count in (2, 1):
        options = ["--kind", "step", "--cell", "gru", "--dtype", "float32", *NOTEBOOK]
        code, out, _ = bench(*options, "--threads", str(count), "--json", "report")
        report = json.loads(Path("report").read_text())
        assert (code, seen.pop()) == (0, {count})
        assert (report["threads"], report["threads_fixed"]) == (count, True)
        assert f"threads   {count}\n" in out
        assert report["rows"][0]["peers"]["notebook"]["note"] == "no GRU"
    assert (threads.counts(), loops.count()) == before


def test_threads_that_cannot_be_set_are_said(bench, monkeypatch):
    monkeypatch.setattr(machine, "counts", lambda: [1, 7])
    code, out, _ = bench("--kind", "step", "--cell", "rnn", *NOTEBOOK)
    assert code == 0
    assert "threads   1, but not for all libraries" in out


def test_compiled_loops_torch_and_jax_are_told_the_number_of_threads(monkeypatch):
    told = []
    torch = SimpleNamespace(get_num_threads=lambda: 5, set_num_threads=told.append)
    monkeypatch.setitem(sys.modules, "torch", torch)
    count = loops.count()
    with threads.limited(3):
        assert told == [3]
        assert loops.count() == 3
    with threads.limited(count + 1, "blas"):
        assert loops.count() == count
    assert told == [3, 5]
    monkeypatch.setenv("XLA_FLAGS", "--other")
    threads.limit_jax(2)
    assert os.environ["XLA_FLAGS"] == "--other"
    for _ in range(2):
        threads.limit_jax(1)
        assert os.environ["XLA_FLAGS"] == f"--other {threads.XLA_ONE}"


def test_a_library_that_is_not_there_is_named(bench, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # import torch raises
    monkeypatch.setattr(peers, "NAMES", ("torch", "notebook"))
    code, out, _ = bench("--cell", "rnn", "--kind", "train", "--json", "report")
    assert code == 0
    assert "missing   torch: " in out
    report = json.loads(Path("report").read_text())
    assert report["missing"].keys() == {"torch"}
    assert report["rows"][0]["peers"].keys() == {"notebook"}
    code, out, err = bench("--peer", "torch")
    assert (code, out) == (2, "")
    assert err.startswith("xpbptt: error: --peer torch: ")
    assert err.count("\n") == 1


def test_a_package_that_is_not_installed(monkeypatch):
    def none(name):
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(peers, "import_module", none)
    assert peers.missing("jax") == peers.missing("onnxruntime") == "not installed"
    assert peers.missing("notebook") is None


def test_a_package_that_a_peer_needs_is_not_installed(monkeypatch):
    def one(name):
        if name != "onnxruntime":
            raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(peers, "import_module", one)
    assert peers.missing("onnxruntime") == "onnx, which it needs here: not installed"


@pytest.mark.parametrize(
    ("kind", "name"), [("train", "dx"), ("infer", "y"), ("infer", "c"), ("stream", "h")]
)
def test_who_computes_something_else_is_not_timed(bench, monkeypatch, kind, name):
    def wrong(_, problem):
        peer = ours.make(problem)
        values = lambda result: peer.values(result) | {name: peer.values(result)[name] * 1.01}  # noqa: E731
        return peer._replace(values=values)

    monkeypatch.setattr(peers, "make", wrong)
    code, out, err = bench("--cell", "lstm", "--kind", kind, *NOTEBOOK, "--json", "report")
    assert code == 1
    assert err.startswith(
        "xpbptt: error: other values than those of xpbptt, not timed: notebook in"
    )
    assert err.count("\n") == 1
    assert out.count("differs 1e-02") == 2
    entry = json.loads(Path("report").read_text())["rows"][0]["peers"]["notebook"]
    assert "median" not in entry
    assert 0.009 < entry["difference"] < 0.011


def test_a_profile_has_parts_that_sum_to_the_whole(bench):
    code, out, _ = bench("--profile", "--cell", "gru", "--json", "report")
    assert code == 0
    assert "elementwise is the rest by difference" in out
    for found in json.loads(Path("report").read_text())["profiles"]:
        assert found.pop("case")["cell"] == "gru"
        assert found.pop("whole") == pytest.approx(sum(found.values()))


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--json", "no/such/place"], "--json no/such/place cannot be written: No such file"),
        (["--profile", *NOTEBOOK], "--profile looks at xpbptt alone: leave --peer out"),
    ],
)
def test_what_has_to_be_put_right_is_told_before_anything_is_measured(
    bench, monkeypatch, arguments, match
):
    monkeypatch.setattr(measure, "measure", lambda *_, **__: pytest.fail("measured"))
    code, out, err = bench(*arguments)
    assert (code, out) == (2, "")
    assert match in err
    assert err.count("\n") == 1


def test_a_library_that_is_not_usable_is_refused(bench, monkeypatch):
    monkeypatch.setenv("XPBPTT_BACKEND", "abacus")
    code, out, err = bench()
    assert (code, out) == (2, "")
    assert "`XPBPTT_BACKEND` is 'abacus', expected one of: numpy" in err


@pytest.mark.parametrize(
    "option",
    [
        "--size=4,3", "--size=4,3,0", "--size=a,b,c", "--seconds=0", "--threads=0", "--cell=mlp",
        "--dtype=float16", "--kind=guess", "--peer=keras", "--backend=abacus",
    ],
)  # fmt: skip
def test_a_command_line_that_is_none_ends_with_its_use(capsys, option):
    with pytest.raises(SystemExit) as stopped:
        main(["bench", option])
    assert stopped.value.code == 2
    assert "usage: xpbptt bench" in capsys.readouterr().err


def test_what_slows_the_products_is_said(bench, monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.delenv("OPENBLAS_L2_SIZE", raising=False)
    _, out, _ = bench("--kind", "step", "--cell", "rnn", *NOTEBOOK)
    assert "WARNING   OPENBLAS_CORETYPE=Haswell is set" in out
    assert machine.warnings({}) == []
    assert "10 bits" in machine.warnings({"CUPY_TF32": "1"})[0]


def test_cells_that_are_not_compiled_are_said(bench, monkeypatch):
    monkeypatch.setenv("XPBPTT_FUSE", "0")
    _, out, _ = bench("--kind", "step", "--cell", "rnn", *NOTEBOOK)
    assert "WARNING   XPBPTT_FUSE=0 is set: the cells are not compiled" in out
    monkeypatch.delenv("XPBPTT_FUSE")
    monkeypatch.setattr(machine, "find_spec", lambda name: None)
    _, out, _ = bench("--kind", "step", "--cell", "rnn", *NOTEBOOK)
    assert "WARNING   llvmlite is not installed" in out


def test_ctrl_c_stops_it_with_one_line(bench, monkeypatch):
    def pressed(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Contestant, "compute", pressed)
    code, _, err = bench()
    assert (code, err) == (130, "xpbptt: error: interrupted\n")
