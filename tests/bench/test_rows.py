"""What is timed: the rows, everyone's values, the products, the calls."""

import numpy as np
import pytest

from xpbptt import backends
from xpbptt.commands.bench import cases, counts, floors, ours, peers
from xpbptt.commands.bench.cases import CELLS, DTYPES, KINDS, SIZES, Case
from xpbptt.commands.bench.contestant import Contestant, difference
from xpbptt.commands.bench.counters import numpy as numpy_counter
from xpbptt.commands.bench.counters import torch as torch_counter
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


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("peer", peers.NAMES)
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


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_step_has_one_product_in_each_direction(make, kind, cell):
    problem = make(kind, cell)
    calls = counts.per_step(problem)
    if problem.backend not in counts.COUNTERS:
        assert calls is None
    else:
        assert calls.products == 2  # of a stream those of input and state
        assert calls.kernels >= 0


def test_compiled_kernels_count(monkeypatch):
    pytest.importorskip("numba", reason="Numba compiles the cells, and it is not installed")
    xp = backends.load("numpy")
    problem = draw(Case("train", "lstm", "float32", T, B, H), xp=xp, backend="numpy")
    compiled = counts.per_step(problem)
    assert compiled == (2, 2)
    assert compiled.launches == 4
    monkeypatch.setenv("XPBPTT_FUSE", "0")
    as_written = counts.per_step(problem)
    assert as_written.products == 2
    assert as_written.kernels > 20


def known_calls(problem):
    """A pass of two products and a known number of other calls."""
    xp = problem.xp

    def run():
        a = xp.asarray(problem.x)[0, ...]  # a view
        block = xp.empty((4, *a.shape), dtype=a.dtype)
        block[0, ...] = xp.tanh(a) + 1  # three
        part = block[0, ...]
        part += a  # one
        block[0, ...] = part  # nothing, it is there already; torch copies it all the same
        return part.T @ a, xp.matmul(a.T, part), xp.concat([part, a]), xp.sum(part)  # two + two

    return Contestant(run, lambda result: {}, None, "")


@pytest.mark.parametrize(("counter", "kernels"), [("numpy", 6), ("torch", 7)])
def test_counters_count(request, monkeypatch, counter, kernels):
    if counter == "torch":
        request.getfixturevalue("torch")
    module = {"numpy": numpy_counter, "torch": torch_counter}[counter]
    xp = backends.load(counter)
    problem = draw(Case("train", "rnn", "float32", T, B, H), xp=xp, backend=counter)
    monkeypatch.setattr(module.ours, "make", known_calls)
    before = dict(vars(xp))
    tally = module.count(problem)
    assert tally.products == 2
    assert tally.kernels == kernels
    assert dict(vars(xp)) == before
