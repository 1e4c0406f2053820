"""The memory that layers state is what is measured, for layers that no net has, too."""

import tracemalloc

import array_api_compat.numpy as xp
import numpy as np
import pytest
from helpers import cover

import xpbptt
from xpbptt.bptt import (
    Binomial,
    KeepAll,
    KeepStates,
    Layer,
    Run,
    Segments,
    Watch,
    chain,
    concatenate,
    dropout,
    reverse,
    unroll,
)
from xpbptt.bptt.layers.memory import Sizes
from xpbptt.bptt.layers.noise import Rates
from xpbptt.cells import GRU, LSTM, RNN_TANH
from xpbptt.nets.stack.memory import Memory

T, B, I, H = 200, 32, 24, 32
RNN = unroll(RNN_TANH)
STRATEGIES = [KeepAll(), KeepStates(), Segments(), Binomial(5)]

# A layer, its cell, and for each of the layers of a chain how many are side by side.
LAYERS = {
    "unrolled": (unroll(LSTM), LSTM, ()),
    "noisy": (unroll(LSTM, Rates(0.2, (0.3, 0.3))), LSTM, ()),
    "dropping": (unroll(GRU, Rates(0.2)), GRU, ()),
    "reversed": (reverse(unroll(GRU)), GRU, ()),
    "reversed above": (chain([unroll(GRU), reverse(unroll(GRU))]), GRU, (1, 1)),
    "a pair above one": (chain([RNN, concatenate(RNN, reverse(RNN))]), RNN_TANH, (1, 2)),
    "one above a pair": (chain([concatenate(RNN, RNN), RNN]), RNN_TANH, (2, 1)),
    "dropping above a pair": (
        chain([concatenate(RNN, RNN), dropout(RNN, 0.5, 1)]),
        RNN_TANH,
        (2, 1),
    ),
}


def trees(cell, parts):
    """Return parameters and initial states."""

    def one(inputs):
        net = xpbptt.Net(cell, inputs, H)
        state = net.recurrence.state
        zeros = (np.zeros((B, H), dtype=np.float32) for _ in state._fields)
        return net.init(0)[0], state(*zeros)

    if not parts:
        return one(I)
    found = []
    for inputs, count in zip((I, *(H * count for count in parts)), parts, strict=False):
        pairs = [one(inputs) for _ in range(count)]
        found.append(tuple(zip(*pairs, strict=True)) if count > 1 else pairs[0])
    return tuple(zip(*found, strict=True))


def nbytes(tree):
    return tree.nbytes if hasattr(tree, "nbytes") else sum(map(nbytes, tree))


def measured(layer, cell, parts, memory, bptt):
    """Return the bytes kept and the peak of both passes beside inputs, output and gradients."""
    params, state = trees(cell, parts)
    x = np.ones((T, B, I), dtype=np.float32)
    mask = np.arange(T * B).reshape(T, B) % 5 > 0 if memory.sizes.masked else None
    reset = np.arange(T * B).reshape(T, B) % 7 == 0 if memory.sizes.resets else None
    run = Run(mask, bptt.plan(T, memory), 3, reset)
    for traced in (False, True):  # what is made once for all is not counted
        if traced:
            tracemalloc.start()
        y, final, cache = layer.forward(params, x, state, run, xp=xp)
        before, ahead = tracemalloc.get_traced_memory()
        shape = y.shape
        del y
        held, _ = tracemalloc.get_traced_memory()
        dy = np.ones(shape, dtype=np.float32)
        tracemalloc.reset_peak()
        grads, _ = layer.backward(cache, dy, final, Watch(), xp=xp)
        _, back = tracemalloc.get_traced_memory()
        del cache
    tracemalloc.stop()
    own = nbytes((grads.params, grads.state, grads.x))
    return held - nbytes(final), max(ahead - (before - held), back - dy.nbytes - own)


@pytest.mark.parametrize(
    ("name", "masked", "bptt"),
    [
        (name, (k // 2 + i) % 2 == 0, STRATEGIES[k])
        for i, name in enumerate(LAYERS)
        for k in range(len(STRATEGIES))
        if (i + k) % 2
    ],
    ids=repr,
)
def test_what_a_layer_states_is_what_is_measured(name, masked, bptt):
    layer, cell, parts = LAYERS[name]
    memory = Memory(layer, Sizes(T, B, I, H, 4, masked), name)
    kept, peak = measured(layer, cell, parts, memory, bptt)
    plan = bptt.plan(T, memory)
    said, objects = memory.needs(plan).kept * 4, 2**19  # Python's own
    assert said <= kept + 100
    assert kept <= said + objects
    assert peak <= memory.peak(plan) + objects
    assert memory.peak(plan) <= 2 * peak + objects


@cover("name, bptt, masked", ["unrolled", "noisy", "reversed"], STRATEGIES, [False, True])
def test_what_a_layer_states_with_resets(name, bptt, masked):
    layer, cell, parts = LAYERS[name]
    memory = Memory(layer, Sizes(T, B, I, H, 4, masked, resets=True), name)
    kept, peak = measured(layer, cell, parts, memory, bptt)
    plan = bptt.plan(T, memory)
    said, objects = memory.needs(plan).kept * 4, 2**19
    assert said <= kept + 100
    assert kept <= said + objects
    assert peak <= memory.peak(plan) + objects


@cover(("bptt", "masked"), STRATEGIES, [False, True], strength=1)
def test_what_the_combinators_add_up(masked, bptt):
    sizes = Sizes(T, B, I, H, 4, masked)
    plan = bptt.plan(T, Memory(RNN, sizes, "a layer"))
    one, turned = RNN.memory(sizes, plan), reverse(RNN).memory(sizes, plan)
    assert reverse(reverse(RNN)).memory(sizes, plan) == turned
    assert chain([RNN]).memory(sizes, plan) == one
    pair = concatenate(RNN, RNN).memory(sizes, plan)
    assert (pair.width, pair.runs, pair.kept) == (2 * one.width, 2, 2 * one.kept)
    above = chain([RNN, RNN, RNN]).memory(sizes, plan)
    nested = chain([chain([RNN, RNN]), RNN]).memory(sizes, plan)
    assert above == nested
    assert (above.width, above.runs) == (H, 3)


def test_a_layer_without_a_statement_says_so():
    bare = Layer(RNN.forward, RNN.backward, RNN.infer, None)
    memory = Memory(chain([RNN, bare]), Sizes(T, B, I, H, 4), "a layer")
    with pytest.raises(ValueError, match="a layer does not state its memory"):
        memory.peak(KeepAll().plan(T, memory))
