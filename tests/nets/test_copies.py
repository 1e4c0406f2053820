"""Whatever a program holds can be pickled and copied, and goes on in another process."""

import copy
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor

import array_api_compat
import numpy as np
import pytest

import xpbptt
from xpbptt._arrays.tree import leaves, map_leaves
from xpbptt.kernels.find import TARGETS

T, B, I, H = 6, 4, 3, 5

NETS = {
    "lstm": xpbptt.LSTM(I, H, 2, bidirectional=True),
    "dropout": xpbptt.RNN(I, H, 2, dropout=0.5),
    "gru": xpbptt.GRU(I, H),
    "gru-before": xpbptt.GRU(I, H, reset_after=False),
}
STRATEGIES = [
    xpbptt.KeepAll(),
    xpbptt.KeepStates(),
    xpbptt.Segments(2),
    xpbptt.Binomial(2),
    xpbptt.Budget(10**6),
    xpbptt.Truncated(2),
]
OPTIMIZERS = {
    "sgd": xpbptt.sgd(0.1),
    "momentum": xpbptt.sgd(0.1, momentum=0.9),
    "adam": xpbptt.adam(0.1, 0.8, 0.95, 1e-6),
}
WAYS = {"pickle": lambda a: pickle.loads(pickle.dumps(a)), "deepcopy": copy.deepcopy}


@pytest.fixture(params=WAYS)
def copied(request):
    """Make a copy of anything."""
    return WAYS[request.param]


def same(found, expected, xp):
    pairs = zip(leaves(found), leaves(expected), strict=True)
    return all(type(a) is type(b) and bool(xp.all(xp.asarray(a == b))) for (_, a), (_, b) in pairs)


# Every strategy on both engines; the nets and the ways to copy in turn.
IN_TURN = [
    pytest.param(list(NETS)[k % 4], bptt, str(k // 6), list(WAYS)[k % 2], id=f"{k}-{bptt!r}")
    for k, bptt in enumerate(STRATEGIES * 2)
]


@pytest.mark.parametrize(("name", "bptt", "fuse", "way"), IN_TURN)
def test_a_cache(name, bptt, fuse, way, make_case, xp, monkeypatch):
    copied = WAYS[way]
    monkeypatch.setenv("XPBPTT_FUSE", fuse)
    case = make_case(NETS[name])
    if fuse == "1" and array_api_compat.array_namespace(case.x).__name__ not in TARGETS:
        pytest.skip("cells are compiled for NumPy and CuPy only")
    mask = xp.asarray(np.random.default_rng(0).random((T, B)) > 0.3)
    seed = 3 if case.net.dropout else None
    *_, cache = case.net.forward(
        case.params, case.x, case.state, mask, bptt=bptt, dropout_seed=seed
    )
    expected = case.net.backward(cache, case.dy, case.dstate)
    other = copied(cache)
    assert same(copied(case.net).backward(other, case.dy, case.dstate), expected, xp)
    assert same(case.net.backward(other, case.dy, case.dstate), expected, xp)
    assert same(case.net.backward(cache, case.dy, case.dstate), expected, xp)


def test_a_cache_of_no_steps(copied, make_case, xp):
    case = make_case(NETS["gru"], steps=0)
    *_, cache = case.net.forward(case.params, case.x, case.state)
    expected = case.net.backward(cache, case.dy, case.dstate)
    assert same(case.net.backward(copied(cache), case.dy, case.dstate), expected, xp)


def test_a_copy_of_a_cache_shares_no_memory(copied, make_case, xp):
    case = make_case(NETS["gru"])
    *_, cache = case.net.forward(case.params, case.x, case.state)
    expected = case.net.backward(cache, case.dy, case.dstate)
    other = copied(cache)
    if array_api_compat.is_writeable_array(case.x):
        cache.x[...] = 7
        for part in cache.layers[0].segment.states:
            part[...] = 7
    assert same(case.net.backward(other, case.dy, case.dstate), expected, xp)


@pytest.mark.parametrize("name", NETS)
def test_a_net(name, copied):
    net = NETS[name]
    other = copied(net)
    assert other == net
    assert hash(other) == hash(net)
    assert copied(net.recurrence if name == "gru-before" else net.cell) == net.cell


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer(name, copied, make_case, xp):
    case = make_case(NETS["gru"])
    optimizer, other = OPTIMIZERS[name], copied(OPTIMIZERS[name])
    assert type(other) is xpbptt.Optimizer
    grads = map_leaves(lambda p: 0.5 * p + 1, case.params)
    params, theirs = case.params, case.params
    state, their_state = optimizer.init(params), other.init(params)
    for _ in range(3):
        params, state = optimizer.update(grads, state, params)
        theirs, their_state = other.update(grads, copied(their_state), theirs)
    assert same(theirs, params, xp)
    moved = [
        bool(xp.any(a != b))
        for (_, a), (_, b) in zip(leaves(params), leaves(case.params), strict=True)
    ]
    assert all(moved)


@pytest.mark.parametrize("name", ["dropout", "gru-before"])
def test_a_process_that_was_spawned(name):
    """Nothing is inherited there: all of it goes through a pickle."""
    net, optimizer = NETS[name], OPTIMIZERS["adam"]
    params = net.init(0, dtype="float64")
    x, seed = np.random.default_rng(0).normal(size=(T, B, I)), 3 if net.dropout else None
    y, _, cache = net.forward(params, x, dropout_seed=seed)
    grads = net.backward(cache, y)
    state = optimizer.init(params)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        theirs = pool.submit(net.backward, cache, y)
        moved = pool.submit(optimizer.update, grads.params, state, params)
        _, _, returned = pool.submit(net.forward, params, x, dropout_seed=seed).result()
        assert same(theirs.result(), grads, np)
        assert same(moved.result(), optimizer.update(grads.params, state, params), np)
    assert same(net.backward(returned, y), grads, np)
