"""A stream: the same numbers as `forward` at any depth, its memory, and what it refuses."""

import numpy as np
import pytest
from helpers import CELLS, cover, flatten, host

import xpbptt

SIZES = [(1, 1, 1), (3, 5, 2), (33, 17, 1), (8, 40, 7)]  # I, H, B


def draw(xp, *shape, dtype="float64"):
    return xp.asarray(np.random.default_rng(5).standard_normal(shape).astype(dtype))


def same(a, b, most=1e-12):
    pairs = list(zip(flatten(a), flatten(b), strict=True))
    return all(np.max(np.abs(host(p) - host(q)), initial=0) < most for p, q in pairs)


@cover("cell, sizes, layers", list(CELLS), SIZES, [1, 2, 3])
def test_a_stream_gives_what_forward_gives_step_by_step_and_in_blocks(xp, cell, sizes, layers):
    inputs, hidden, batch = sizes
    net = CELLS[cell](inputs, hidden, num_layers=layers)
    params, x = net.init(0, xp=xp, dtype=xp.float64), draw(xp, 9, batch, inputs)
    y, last, _ = net.forward(params, x)
    stream = net.stream(params, batch=batch)
    steps = [np.array(host(stream(x[t, ...]))) for t in range(4)]
    block = host(stream.process(x[4:6, ...]))
    steps += [*block, *(np.array(host(stream(x[t, ...]))) for t in range(6, 9))]
    assert np.max(np.abs(np.stack(steps) - host(y))) < 1e-12
    assert same(stream.state, last)
    stream.reset()
    assert same(stream(x[0, ...]), y[0, ...])


def test_a_stream_goes_on_from_a_state_and_comes_back_to_it(xp):
    net = xpbptt.LSTM(3, 5, num_layers=2)
    params, x = net.init(0, xp=xp, dtype=xp.float64), draw(xp, 7, 2, 3)
    _, state, _ = net.forward(params, x[:4, ...])
    y, _, _ = net.forward(params, x)
    stream = net.stream(params, state, batch=2)
    for _ in range(2):
        assert same(stream(x[4, ...]), y[4, ...])
        stream.reset()
    stream.reset(state)
    assert same(stream(x[4, ...]), y[4, ...])
    kept = stream.state
    stream(x[5, ...])
    stream.reset(kept)
    assert same(stream(x[5, ...]), y[5, ...])


def test_later_changes_of_the_parameters_do_not_reach_a_stream():
    net = xpbptt.GRU(3, 5)
    params, x = net.init(0, dtype="float64"), draw(np, 1, 1, 3)
    y, _, _ = net.forward(params, x)
    stream = net.stream(params)
    for array in flatten(params):
        array[...] = 0
    assert same(stream(x[0]), y[0])


def test_an_output_is_memory_of_the_stream_or_on_wish_a_copy():
    pytest.importorskip("llvmlite", reason="an eager stream gives a new array each step")
    net = xpbptt.LSTM(3, 5)
    params, x = net.init(0, dtype="float64"), draw(np, 3, 1, 3)
    y, _, _ = net.forward(params, x)
    stream = net.stream(params)
    first, second = stream(x[0]), stream(x[1])
    assert not first.flags.writeable
    assert same((first, second), (y[0], y[1]))
    stream(x[2])
    assert same(first, y[2])
    copies = net.stream(params, copy=True)
    outputs = [copies(x_t) for x_t in x]
    assert all(each.flags.writeable and each.base is None for each in outputs)
    assert same(tuple(outputs), tuple(y))


def test_an_input_of_any_layout_is_taken():
    net = xpbptt.GRU(4, 3)
    params = net.init(0, dtype="float64")
    wide = draw(np, 2, 8)
    y, _ = net.step(params, np.ascontiguousarray(wide[:, ::2]))
    assert same(net.stream(params, batch=2)(wide[:, ::2]), y)
    wide.flags.writeable = False
    assert same(net.stream(params, batch=2)(wide[:, ::2]), y)


def test_what_a_stream_cannot_take_is_refused_and_leaves_its_state(xp):
    net = xpbptt.GRU(3, 5)
    params = net.init(0, xp=xp, dtype=xp.float32)
    stream = net.stream(params, batch=2)
    stream(draw(xp, 2, 3, dtype="float32"))
    before = stream.state
    for wrong, kind, text in [
        (draw(xp, 1, 3, dtype="float32"), ValueError, "`x_t` has shape"),
        (draw(xp, 2, 4, dtype="float32"), ValueError, "`x_t` has shape"),
        (draw(xp, 3, dtype="float32"), ValueError, "`x_t` must have the axes"),
        (draw(xp, 2, 3, dtype="float64"), TypeError, "dtype"),
        ([[1.0, 2.0, 3.0]], TypeError, "`x_t`"),
    ]:
        with pytest.raises(kind, match=text):
            stream(wrong)
    with pytest.raises(ValueError, match="`x` must have the axes"):
        stream.process(draw(xp, 2, 3, dtype="float32"))
    with pytest.raises(ValueError, match="`state"):
        stream.reset(net.stream(params, batch=1).state)
    assert same(stream.state, before, 1e-30)


def test_what_no_stream_can_be_made_of_is_refused(xp):
    params = xpbptt.GRU(3, 5).init(0, xp=xp)
    both = xpbptt.GRU(3, 5, bidirectional=True)
    of_both = both.init(0, xp=xp)
    with pytest.raises(ValueError, match="the backward direction starts at the sequence's end"):
        both.stream(of_both)
    with pytest.raises(ValueError, match="`batch`"):
        xpbptt.GRU(3, 5).stream(params, batch=0)
    with pytest.raises(TypeError, match="`copy`"):
        xpbptt.GRU(3, 5).stream(params, copy="yes")
    with pytest.raises((TypeError, ValueError), match="`params"):
        xpbptt.GRU(4, 5).stream(params)
