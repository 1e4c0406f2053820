"""The laws hold of every cell, in every layout and on every library, and they can fail."""

from importlib.util import find_spec

import numpy as np
import pytest
from helpers import CELLS, cover, plant

import xpbptt
from xpbptt._arrays.tree import map_leaves
from xpbptt.testing import GradientError, laws
from xpbptt.testing.laws import checker, compare, sample

OWN_LAWS = [name for name in laws.LAWS if name != "mutants"]


@cover(("law", "name", "layers", "both"), OWN_LAWS, list(CELLS), [1, 2], [False, True])
def test_of_every_net(law, name, layers, both, xp):
    laws.LAWS[law](CELLS[name](3, 5, layers, bidirectional=both), xp=xp)


@pytest.mark.parametrize("law", ["derivative", "strategies", "linearity"])
def test_of_a_net_that_drops(law, xp):
    laws.LAWS[law](xpbptt.LSTM(3, 5, 2, dropout=0.3), xp=xp)


def test_of_a_sequence_longer_than_what_is_computed_at_once(xp):
    exact = [xpbptt.KeepStates(), xpbptt.Segments(), xpbptt.Segments(33), xpbptt.Binomial(3)]
    laws.strategies(xpbptt.LSTM(3, 5), xp=xp, steps=70, exact=exact)


SOME = [xpbptt.KeepStates(), xpbptt.Segments(1), xpbptt.Binomial(2)]  # one of each kind


@pytest.mark.parametrize(
    ("law", "options"),
    [
        ("strategies", {"exact": SOME}),
        *(("linearity", {}), ("padding", {}), ("chunks", {}), ("resets", {})),
        ("engines", {"plans": SOME}),
    ],
)
def test_of_no_steps_and_of_no_sequences(law, options, xp):
    net = xpbptt.LSTM(3, 5, 2, bidirectional=True)
    for steps, batch in ((0, 4), (2, 0), (0, 0), (1, 1)):
        laws.LAWS[law](net, xp=xp, steps=steps, batch=batch, **options)


@pytest.mark.parametrize(
    "bptt", [xpbptt.KeepStates(), xpbptt.Segments(4), xpbptt.Binomial(2)], ids=repr
)
def test_the_derivative_takes_a_strategy(bptt, xp):
    laws.derivative(xpbptt.GRU(3, 5), xp=xp, options={"bptt": bptt})


@pytest.mark.parametrize("make", [xpbptt.RNN, xpbptt.LSTM, xpbptt.GRU])
def test_all_in_one_line(make):
    laws.hold(make(3, 5))


def test_a_cell_is_a_net_of_one_layer():
    laws.linearity(xpbptt.LSTM(3, 5).cell)
    laws.linearity(xpbptt.LSTM(3, 5).recurrence)
    with pytest.raises(TypeError, match="`net` must be a Net, a Cell or a Recurrence, got str"):
        laws.linearity("LSTM")


def test_sizes_differ():
    for net in (xpbptt.RNN(3, 5), xpbptt.GRU(6, 4), xpbptt.LSTM(4, 3, bidirectional=True)):
        of = sample.draw(net)
        sizes = [*of.x.shape[:2], net.input_size, net.hidden_size]
        assert len(set(sizes)) == 4
        assert net.directions == 1 or 2 * net.hidden_size not in sizes


def test_the_mask_has_every_kind_of_gap():
    mask = sample.draw(xpbptt.RNN(3, 5), masked=True).mask
    gaps, right, left, never = mask.T
    assert 0 < gaps.sum() < gaps.size
    assert np.any(np.diff(gaps.astype(int)) > 0)
    assert np.any(np.diff(gaps.astype(int)) < 0)
    assert right.tolist() == [True] * 3 + [False] * 3
    assert left.tolist() == [False] * 3 + [True] * 3
    assert not never.any()


def test_the_message_names_the_law_the_array_and_the_difference(monkeypatch):
    def lost(engine, rewind, inputs, segment, back, dstate, **options):
        return rewind(inputs, segment, back, map_leaves(np.zeros_like, dstate), **options)

    plant(monkeypatch, "rewind", lost)
    text = (
        r"^Segments\(length=1\) gives what KeepAll\(\) gives: `grads\.\S+` is off by \S+ relative"
    )
    with pytest.raises(laws.LawError, match=text):
        laws.strategies(xpbptt.RNN(3, 5), exact=[xpbptt.Segments(1)])


def test_each_law_can_fail(monkeypatch):
    """One defect for each law, in an engine or in the cell, and what the law says of it."""

    def rewind_with(change):
        def changed(engine, rewind, *arguments, **options):
            return change(engine, rewind(*arguments, **options))

        return "rewind", changed

    def forget_mask(engine, record, inputs, state, **options):
        mask = inputs.mask if inputs.mask is None else inputs.mask | True
        return record(inputs._replace(mask=mask), state, **options)

    def shifted(engine, advance, inputs, marks, state, outputs, most, **options):
        return advance(inputs._replace(x=inputs.x + 1), marks, state, outputs, most, **options)

    def reads_on(engine, record, inputs, state, **options):
        return record(inputs._replace(x=inputs.x + inputs.x[-1:, ...]), state, **options)

    add_one = rewind_with(lambda engine, found: found._replace(x=found.x + 1))
    double = rewind_with(lambda engine, found: found._replace(x=2 * found.x))
    only_compiled = rewind_with(
        lambda engine, found: (
            found if engine.name == "eager" else found._replace(x=found.x * (1 + 1e-9))
        )
    )
    defects = [
        (laws.derivative, double, "off by"),
        (laws.linearity, add_one, "^linearity: `grads.x` is off by"),
        (laws.padding, ("record", forget_mask), "^padding, sequence 0 alone: `y` is off by"),
        (laws.chunks, ("advance", shifted), "^infer equals forward: `y` is off by"),
        (laws.direction, ("record", reads_on), "wrong direction"),
    ]
    if find_spec("llvmlite"):
        defects.append((laws.engines, only_compiled, "^compiled equals eager: .*`grads.x`"))
    for law, (function, change), text in defects:
        with monkeypatch.context() as patch:
            plant(patch, function, change)
            with pytest.raises(AssertionError, match=text):
                law(xpbptt.GRU(3, 5))
        law(xpbptt.GRU(3, 5))


@pytest.mark.parametrize("make", [xpbptt.RNN, xpbptt.LSTM, xpbptt.GRU])
def test_ten_published_bugs_are_rejected(make, xp):
    laws.mutants(make(3, 5), xp=xp)
    assert len(checker.IN_THE_CELL + checker.IN_THE_LAYER) == 10


def test_a_bug_that_is_accepted_is_named(monkeypatch):
    monkeypatch.setattr(checker, "IN_THE_CELL", (harmless,))
    with pytest.raises(laws.LawError, match=r"^mutants: check_gradients accepts harmless in LSTM"):
        laws.mutants(xpbptt.LSTM(3, 5))


def harmless(recurrence):
    return recurrence


def test_a_bug_in_the_cell_itself_is_no_success_of_a_mutant():
    """The cell unchanged is checked in the same place."""
    lstm = xpbptt.LSTM(3, 5).cell

    def wrong(*arguments, xp):
        du, dv, dstate = lstm.backward(*arguments, xp=xp)
        return du._replace(f=2 * du.f), dv, dstate

    with pytest.raises(GradientError):
        laws.mutants(lstm._replace(backward=wrong))


def test_arrays_are_compared_by_kind_first():
    one = {"y": np.ones((2, 3))}
    for other, text in (
        ({"z": one["y"]}, r"got the arrays \['z'\], expected \['y'\]"),
        ({"y": np.ones((3, 2))}, r"`y` is a ndarray of shape \(3, 2\)"),
        ({"y": np.ones((2, 3), dtype=np.float32)}, "dtype float32"),
        ({"y": np.full((2, 3), np.nan)}, "off by nan"),
        ({"y": one["y"] + 1e-3}, "`y` is off by 1.0e-03"),
    ):
        with pytest.raises(compare.LawError, match=text):
            compare.same("a law", other, one, 1e-4)
    compare.same("a law", {"y": one["y"] + 1e-5}, one, 1e-4)
