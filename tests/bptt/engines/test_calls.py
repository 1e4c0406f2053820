"""How little Python there is around the numbers of a warm call."""

import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import cover

import xpbptt
from xpbptt.bptt import loop
from xpbptt.bptt.engines import engine

ROOT = Path(xpbptt.__file__).parent
MOST = 13
STRATEGIES = (
    xpbptt.KeepAll(),
    xpbptt.KeepStates(),
    xpbptt.Segments(3),
    xpbptt.Binomial(3),
    xpbptt.Truncated(4),
)


def entered(call):
    """Return the files of the package that a call enters, and the calls of Python that it makes."""
    files, calls = set(), []

    def look(frame, event, _):
        if event == "call":
            calls.append(frame.f_code.co_name)
            path = Path(frame.f_code.co_filename)
            if path.is_relative_to(ROOT):
                files.add(str(path.relative_to(ROOT)))

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        call()
    finally:
        sys.setprofile(before)
    return files, len(calls)


@pytest.fixture
def net(monkeypatch):
    pytest.importorskip("llvmlite", reason="counts the files of the compiled engine")
    monkeypatch.delenv("XPBPTT_FUSE", raising=False)
    return xpbptt.LSTM(3, 5)


@pytest.mark.parametrize("batch", [1, 4])
def test_a_warm_pass_enters_few_files(net, batch):
    params, x = net.init(0), np.ones((50, batch, 3), np.float32)
    y, _, cache = net.forward(params, x)
    net.backward(cache, y)
    for call in (lambda: net.forward(params, x), lambda: net.backward(cache, y)):
        files, _ = entered(call)
        assert len(files) <= MOST, sorted(files)


@cover(("bptt", "masked"), STRATEGIES, [False, True], strength=1)
def test_a_pass_chooses_once_and_looks_for_no_kernel_when_warm(net, bptt, masked, monkeypatch):
    params, x = net.init(0), np.ones((20, 4, 3), np.float32)
    mask = np.ones((20, 4), bool) if masked else None

    def both():
        y, _, cache = net.forward(params, x, mask=mask, bptt=bptt)
        net.backward(cache, y)

    both()
    chosen, found = [], []
    choose, find = loop.choose, engine.find
    monkeypatch.setattr(loop, "choose", lambda *a, **k: chosen.append(a) or choose(*a, **k))
    monkeypatch.setattr(engine, "find", lambda *a, **k: found.append(a) or find(*a, **k))
    both()
    assert (len(chosen), len(found)) == (2, 0)
    engine._fastest.cache_clear()
    both()
    assert len(found) == 2


def test_calls_of_a_pass_over_segments(net):
    """About 250 a segment, of which there are 67; it was 450."""
    params, x = net.init(0), np.ones((200, 32, 3), np.float32)
    y, _, cache = net.forward(params, x, mask=np.ones((200, 32), bool), bptt=xpbptt.Segments(3))
    net.backward(cache, y)
    _, calls = entered(lambda: net.backward(cache, y))
    assert calls < 20_000
