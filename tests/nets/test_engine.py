"""Which engine a call takes, as the net says it: the one that is then asked."""

import numpy as np
import pytest
from helpers import CELLS, cover

import xpbptt
from xpbptt.bptt import loop
from xpbptt.bptt.engines import engine

T, B, I, H = 6, 4, 3, 5


@cover(
    ("name", "chosen", "bptt", "both", "masked"),
    tuple(CELLS),
    ("", "eager", "stepwise"),
    (xpbptt.KeepAll(), xpbptt.KeepStates(), xpbptt.Segments(2)),
    (False, True),
    (False, True),
)
def test_what_is_said_is_what_is_done(name, chosen, bptt, both, masked, xp, monkeypatch):
    net = CELLS[name](I, H, 2, bidirectional=both)
    params, x = net.init(0, xp=xp), xp.ones((T, B, I), dtype=xp.float32)
    mask = xp.ones((T, B), dtype=xp.bool) if masked else None
    monkeypatch.setenv(engine.ENGINE, chosen)
    said = net.engine(params, x, mask, bptt=bptt)
    asked, real = [], loop.choose

    def choose(*arguments, **options):
        found = real(*arguments, **options)
        asked.append(engine.Answer(found.name, found.reason))
        return found

    monkeypatch.setattr(loop, "choose", choose)
    y, _, cache = net.forward(params, x, None, mask, bptt=bptt)
    assert set(asked) == {said.forward}
    asked.clear()
    net.backward(cache, y)
    assert set(asked) == {said.backward}
    asked.clear()
    net.infer(params, x, None, mask)
    assert set(asked) == {said.infer}


def test_what_is_wrong_is_refused_as_by_the_calls():
    net = xpbptt.LSTM(I, H)
    with pytest.raises(ValueError, match="`x`"):
        net.engine(net.init(0), np.ones((T, B, I + 1), dtype="float32"))
    with pytest.raises(TypeError, match="`bptt`"):
        net.engine(net.init(0), np.ones((T, B, I), dtype="float32"), bptt=3)
