"""What is timed: the rows, everyone's values, the products, the calls."""

from importlib import import_module
from importlib.util import find_spec

import numpy as np
import pytest
from helpers import cover

from xpbptt.commands.bench import cases, floors, measure, ours, peers
from xpbptt.commands.bench.cases import CELLS, DTYPES, INFER, KINDS, SIZES, Case
from xpbptt.commands.bench.contestant import difference
from xpbptt.commands.bench.problem import draw

NAMES = {"array_api_strict": "array-api-strict", "jax.numpy": "jax"}
T, B, H = 5, 3, 2


@pytest.fixture
def make(xp):
    backend = NAMES.get(xp.__name__, xp.__name__.removeprefix("array_api_compat."))
    return lambda kind, cell, dtype="float64", steps=T: draw(
        Case(kind, cell, dtype, steps, B, H), xp=xp, backend=backend
    )


def test_the_table_has_every_cell_dtype_and_size():
    table = cases.select()
    train = {case for case in table if case.kind == "train"}
    assert train == {Case("train", c, d, *s) for c in CELLS for d in DTYPES for s in SIZES}
    others = {case for case in table if case.kind != "train"}
    expected = {Case("masked", "lstm", "float32", *size) for size in SIZES}
    expected |= {Case("infer", cell, "float32", *s) for cell in ("lstm", "gru") for s in INFER}
    expected |= {Case("step", "lstm", dtype, 100, 1, 32) for dtype in DTYPES}
    expected |= {Case("stream", "lstm", "float32", 100, 1, H) for H in (16, 32, 64, 128, 256)}
    assert others == expected
    assert len(INFER) == len(set(INFER)) == 7
    assert len(table) == len(set(table)) == 49


def test_filters_keep_a_part_of_the_table():
    assert cases.select(cells=["gru"], sizes=[(4, 3, 2)], dtypes=["float32"]) == [
        Case("train", "gru", "float32", 4, 3, 2),
        Case("masked", "gru", "float32", 4, 3, 2),
        Case("infer", "gru", "float32", 4, 3, 2),
    ]
    for kind in ("step", "stream"):
        assert {case.cell for case in cases.select(kinds=[kind])} == set(CELLS)
        assert len(cases.select(kinds=[kind], sizes=[(4, 3, 2)], dtypes=["float64"])) == 3
    assert len(cases.select(kinds=["masked"], sizes=[(4, 3, 2), (4, 3, 2)])) == 6


@cover(("kind", "cell", "peer"), KINDS, CELLS, peers.NAMES)
def test_peers_compute_what_xpbptt_does(make, kind, cell, peer):
    installed(peer)
    dtype = "float32" if peer == "onnxruntime" else "float64"
    problem = make(kind, cell, dtype)
    found = peers.make(peer, problem)
    if isinstance(found, str):
        assert found == excuse(kind, cell, peer)
        return
    assert excuse(kind, cell, peer) is None
    values = found.compute()
    weights = {"y", "dx", "dW_ih", "dW_hh", "db_ih"}
    state = {"h", "c"} if cell == "lstm" else {"h"}
    expected = {"infer": {"y"} | state, "step": state, "stream": state}.get(kind, weights)
    assert values.keys() - {"db_hh"} == expected
    tolerance = {"float32": 1e-6, "float64": 1e-12}[dtype]
    assert difference(ours.make(problem).compute(), values) < tolerance


def installed(peer):
    """Skip where a peer is not installed."""
    for package in peers.NEEDS.get(peer, (peer,)):
        pytest.importorskip(package, reason=f"compares with {peer}: {package} is not installed")


def excuse(kind, cell, peer):
    """Return why a peer does not compute a row."""
    if peer == "onnxruntime":
        return "no training" if kind in {"train", "masked"} else None
    if peer == "notebook" and cell == "gru":
        return "no GRU"
    return {"masked": "no masks", "infer": "no inference"}.get(kind) if peer == "notebook" else None


@cover(("kind", "cell", "threads"), ("infer", "step", "stream"), CELLS, (1, 2))
def test_onnxruntime_computes_it_on_the_threads_asked_for(make, monkeypatch, kind, cell, threads):
    installed("onnxruntime")
    onnxruntime = import_module("onnxruntime")
    told, real = [], onnxruntime.InferenceSession

    def session(model, options, **more):
        told.append((options.intra_op_num_threads, options.inter_op_num_threads))
        return real(model, options, **more)

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    problem = make(kind, cell, "float32")._replace(threads=threads)
    peer = peers.make("onnxruntime", problem)
    assert told == [(threads, threads)]
    for _ in range(2):  # each run starts from the same state
        assert difference(ours.make(problem).compute(), peer.compute()) < 1e-6
    assert peers.make("onnxruntime", make(kind, cell, "float64")) == "float32 only"


@pytest.mark.parametrize("cell", CELLS)
def test_a_stream_and_a_sequence_end_with_the_same_state(make, cell):
    infer, step, stream = (ours.make(make(kind, cell)) for kind in ("infer", "step", "stream"))
    expected = infer.compute()
    y = expected.pop("y")
    assert y.shape == (T, B, H)
    assert np.array_equal(y[-1], expected["h"])
    for each in (step, stream, stream):  # twice: a stream keeps its state, and each run starts anew
        assert difference(expected, found := each.compute()) < 1e-12
        assert found.keys() == expected.keys()


def test_a_difference_is_found_wherever_it_is():
    values = {"y": np.ones(3), "dx": np.arange(3.0)}
    assert difference(values, values) == 0
    assert difference(values, {"dx": np.array([0.0, 1.0, 4.0])}) == 0.5
    assert difference(values, {"y": np.ones(2)}) == np.inf
    assert difference(values, {"y": np.array([1.0, np.nan, 1.0])}) == np.inf
    assert difference(values, {"db": np.ones(3)}) == np.inf


@pytest.mark.parametrize("cell", CELLS)
def test_the_floor_is_the_products_of_a_pass(make, cell):
    rows = {"lstm": 4, "gru": 3, "rnn": 1}[cell] * H
    inputs, forward, backward, gradients = floors.products(make("train", cell)).run()
    assert inputs.shape == (T * B, rows)
    assert [v.shape for v in forward] == [(B, rows)] * T
    assert [dh.shape for dh in backward] == [(B, H)] * T
    assert [d.shape for d in gradients] == [(rows, H), (rows, H), (T * B, H)]
    inputs, forward, *nothing = floors.products(make("infer", cell)).run()
    assert inputs.shape == (T * B, rows)
    assert [v.shape for v in forward] == [(B, rows)] * T
    assert nothing == [None, None]
    for kind in ("step", "stream"):
        inputs, forward, *nothing = floors.products(make(kind, cell)).run()
        assert [u.shape for u in inputs] == [v.shape for v in forward] == [(B, rows)] * T
        assert nothing == [None, None]


@pytest.mark.parametrize("cell", CELLS)
def test_what_is_kept(make, cell):
    state = (2 if cell == "lstm" else 1) * B * H * 8
    found = {kind: measure.kept(make(kind, cell)) for kind in KINDS}
    cost = make("train", cell).net.cost(T, B, "float64").bytes
    assert found == {"train": cost, "masked": cost, "infer": 0, "step": state, "stream": state}


@pytest.mark.parametrize("kind", KINDS)
def test_the_engine_is_named(monkeypatch, make, kind):
    problem = make(kind, "lstm")
    on_numpy = "sequence" if find_spec("llvmlite") else "eager"
    compiled = {"cupy": "sequence", "numpy": on_numpy, "jax": "scan"}
    assert ours.engine(problem) == compiled.get(problem.backend, "eager")
    monkeypatch.setenv("XPBPTT_FUSE", "0")
    assert ours.engine(problem) == "eager"
