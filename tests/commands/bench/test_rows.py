"""What is timed: the rows, everyone's values, the products, the calls."""

from importlib.util import find_spec

import numpy as np
import pytest
from helpers import cover

from xpbptt.commands.bench import cases, floors, ours, peers
from xpbptt.commands.bench.cases import CELLS, DTYPES, KINDS, SIZES, Case
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
    masked = {Case("masked", "lstm", "float32", *size) for size in SIZES}
    assert others == masked | {Case("step", "lstm", dtype, 100, 1, 32) for dtype in DTYPES}
    assert len(table) == len(set(table)) == 30


def test_filters_keep_a_part_of_the_table():
    assert cases.select(cells=["gru"], sizes=[(4, 3, 2)], dtypes=["float32"]) == [
        Case("train", "gru", "float32", 4, 3, 2),
        Case("masked", "gru", "float32", 4, 3, 2),
    ]
    assert {case.cell for case in cases.select(kinds=["step"])} == set(CELLS)
    assert len(cases.select(kinds=["masked"], sizes=[(4, 3, 2), (4, 3, 2)])) == 6


@cover(("kind", "cell", "peer"), KINDS, CELLS, peers.NAMES)
def test_peers_compute_what_xpbptt_does(make, kind, cell, peer):
    if peer != "notebook":
        pytest.importorskip(peer, reason=f"compares with {peer}, and it is not installed")
    problem = make(kind, cell)
    found = peers.make(peer, problem)
    if isinstance(found, str):
        assert (peer, found) == ("notebook", "no GRU" if cell == "gru" else "no masks")
        return
    values = found.compute()
    weights = {"y", "dx", "dW_ih", "dW_hh", "db_ih"}
    state = {"h", "c"} if cell == "lstm" else {"h"}
    assert values.keys() - {"db_hh"} == (state if kind == "step" else weights)
    assert difference(ours.make(problem).compute(), values) < 1e-12


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
    inputs, forward, *nothing = floors.products(make("step", cell)).run()
    assert [u.shape for u in inputs] == [v.shape for v in forward] == [(B, rows)] * T
    assert nothing == [None, None]


@pytest.mark.parametrize("kind", KINDS)
def test_the_engine_is_named(monkeypatch, make, kind):
    problem = make(kind, "lstm")
    compiled = problem.backend == "cupy" or (problem.backend == "numpy" and find_spec("numba"))
    assert ours.engine(problem) == ("stepwise" if compiled else "eager")
    monkeypatch.setenv("XPBPTT_FUSE", "0")
    assert ours.engine(problem) == "eager"
