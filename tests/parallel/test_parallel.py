"""The mean over ranks: the gradients of several ranks are those of one process on the whole batch.

The ranks are called one after the other here; over MPI and torch.distributed in test_recipes.py.
"""

import numpy as np
import pytest

import xpbptt
from xpbptt import parallel

T, B, I, H, O = 6, 7, 3, 5, 2


def flat(tree):
    return [leaf for each in tree for leaf in flat(each)] if isinstance(tree, tuple) else [tree]


def ranks_mean(trees, counts, xp, *, returned=True):
    """Return what every rank gets: their buffers are collected first, and then summed."""
    buffers = []

    def collect(buffer):
        buffers.append(xp.asarray(buffer, copy=True))

    for tree, count in zip(trees, counts, strict=True):
        parallel.mean(tree, count, collect)
    calls = len(buffers) // len(trees)
    sums = iter(
        [sum(buffers[call::calls][1:], start=buffers[call]) for call in range(calls)] * len(trees)
    )
    results = []
    for tree, count in zip(trees, counts, strict=True):

        def all_reduce(buffer):
            total = next(sums)
            if returned:
                return total
            buffer[...] = total
            return None

        results.append(parallel.mean(tree, count, all_reduce))
    return results


@pytest.mark.parametrize("size", [1, 2, 3])
def test_gradients_are_those_of_one_process_on_the_joined_batch(xp, normal, size, assert_close):
    """With masks that leave the ranks unequal numbers of steps."""
    net, readout = xpbptt.LSTM(I, H, bidirectional=True), xpbptt.Linear(2 * H, O)
    params = {
        "net": net.init(0, xp=xp, dtype=xp.float64),
        "readout": readout.init(1, xp=xp, dtype=xp.float64),
    }
    x, target = normal(T, B, I), normal(T, B, O)
    mask = xpbptt.length_mask([6, 1, 5, 2, 4, 0, 3], T, xp=xp)

    def gradients(x, target, mask):
        y, _, cache = net.forward(params["net"], x, mask=mask)
        output, kept = readout.forward(params["readout"], y)
        loss, doutput = xpbptt.mean_squared_error(output, target, mask)
        of_readout = readout.backward(kept, doutput)
        of_net = net.backward(cache, of_readout.x)
        return of_net.params, of_readout.params, xp.asarray(loss)

    expected = gradients(x, target, mask)
    shares = [parallel.shard((x, target, mask), rank, size) for rank in range(size)]
    counts = [int(xp.sum(xp.astype(share[2], xp.int64))) for share in shares]
    assert size == 1 or len(set(counts)) > 1
    for result in ranks_mean([gradients(*share) for share in shares], counts, xp):
        assert_close(result, expected, 1e-12)


def test_a_count_on_the_device_is_not_read(xp, normal):
    tree = (normal(2, 3),)
    counts = [xp.asarray(2), xp.asarray(3)]
    (result,), (other,) = ranks_mean([tree, (2 * tree[0],)], counts, xp)
    for mean in (result, other):
        assert float(xp.max(xp.abs(mean - tree[0] * (2 + 6) / 5))) < 1e-15


def test_a_rank_without_elements_may_hold_nan(xp, normal):
    full, empty = (normal(2, 3),), (normal(2, 3) * float("nan"),)
    for result in ranks_mean([full, empty], [4, 0], xp):
        assert bool(xp.all(xp.abs(result[0] - full[0]) < 1e-15))
    for result in ranks_mean([empty, empty], [0, 0], xp):
        assert bool(xp.all(result[0] == 0))


def test_half_is_summed_in_single(xp, half):
    """Its sums would overflow at 65504, and counts above 2048 are not exact in it."""
    tree = {"a": half(xp.asarray([60000.0, 1.0])), "b": (xp.asarray([3.0]),)}
    seen = []

    def all_reduce(buffer):
        seen.append((buffer.dtype, tuple(buffer.shape)))
        return 2 * buffer

    result = parallel.mean(tree, 2049, all_reduce)
    assert seen == [(xp.float32, (3,)), (tree["b"][0].dtype, (2,))]
    assert result["a"].dtype == xp.float16
    assert [float(result["a"][k]) for k in range(2)] == [60000.0, 1.0]
    assert float(result["b"][0][0]) == 3.0


def test_in_place_or_returned():
    trees = [(np.arange(3.0),), (np.arange(3.0) + 1,)]
    for returned in (True, False):
        results = ranks_mean(trees, [1, 3], np, returned=returned)
        np.testing.assert_array_equal(results[0][0], np.arange(3) + 0.75)
    np.testing.assert_array_equal(trees[0][0], np.arange(3))


def test_one_buffer_a_dtype_and_the_tree_as_it_was():
    tree = {"b": [np.ones((2, 3)), None], "a": xpbptt.Linear(3, 2).init(0), "c": np.asarray(2.0)}
    sizes = []
    same = parallel.mean(tree, 2, lambda buffer: sizes.append(buffer.size))
    assert sizes == [6 + 1 + 1, 6 + 2 + 1]
    assert list(same) == ["b", "a", "c"]
    assert same["b"][1] is None
    assert type(same["a"]) is xpbptt.LinearParams
    np.testing.assert_array_equal(same["a"].weight, tree["a"].weight)
    assert same["c"].shape == ()


def test_broadcast_gives_the_numbers_of_rank_0(xp, assert_close):
    first, other = (xpbptt.GRU(I, H).init(k, xp=xp, dtype=xp.float64) for k in range(2))
    sent = []
    assert_close(parallel.broadcast(first, sent.append), first, 0)
    received = iter(sent)
    assert_close(parallel.broadcast(other, lambda _: next(received)), first, 0)


@pytest.mark.parametrize(
    "other",
    [
        xpbptt.GRU(I, H, 2).init(0),
        xpbptt.RNN(I, H).init(0),
        xpbptt.GRU(I, H).init(0, dtype="float64"),
        {"net": xpbptt.GRU(I, H).init(0)},
    ],
)
def test_a_rank_with_another_tree_is_refused(other):
    sent = []
    parallel.broadcast(xpbptt.GRU(I, H).init(0), sent.append)
    with pytest.raises(ValueError, match=r"`tree` of this rank differs from that of rank 0"):
        parallel.broadcast(other, lambda _: sent[0])


def test_shards_join_to_the_batch(xp, normal):
    x, mask = normal(T, B, I), normal(T, B) > 0
    for size in (1, 2, 3, B, B + 2):
        shares = [parallel.shard((x, mask, None), rank, size) for rank in range(size)]
        assert bool(xp.all(xp.concat([share[0] for share in shares], axis=1) == x))
        assert bool(xp.all(xp.concat([share[1] for share in shares], axis=1) == mask))
        lengths = [share[0].shape[1] for share in shares]
        assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: parallel.mean((), 1, print), ValueError, "`tree` has no arrays"),
        (lambda: parallel.mean((np.ones(2, int),), 1, print), TypeError, r"`tree\[0\]` must be an"),
        (lambda: parallel.mean((np.ones(2),), -1, print), ValueError, "`count` must be at least 0"),
        (
            lambda: parallel.mean((np.ones(2), np.ones(2, complex)), 1, print),
            TypeError,
            r"`tree\[1\]` must be an array of real numbers",
        ),
        (lambda: parallel.mean((3.0,), 1, print), TypeError, r"`tree\[0\]` must be an array"),
        (
            lambda: parallel.mean((np.ones(2),), 1, lambda buffer: buffer[:1]),
            ValueError,
            r"`all_reduce` returned shape \(1,\) for a \(3,\)",
        ),
        (lambda: parallel.shard(np.ones((2, 3)), 2, 2), ValueError, "`rank` must be below `size`"),
        (lambda: parallel.shard(np.ones((2, 3)), 0, 0), ValueError, "`size` must be at least 1"),
        (
            lambda: parallel.shard((np.ones((2, 3)), np.ones((2, 4))), 0, 2),
            ValueError,
            r"`tree\[1\]` has shape \(2, 4\)",
        ),
        (lambda: parallel.shard(np.ones(3), 0, 2), ValueError, r"shape \(3,\), .*axis 1"),
    ],
)
def test_bad_arguments_are_refused(call, error, text):
    with pytest.raises(error, match=text):
        call()
