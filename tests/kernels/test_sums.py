"""Sums over the hidden units, a step at a time: on CUDA a block for each sequence."""

import pytest

import xpbptt
from xpbptt.bptt import loop
from xpbptt.testing import laws


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("hidden", [5, 130])
@pytest.mark.usefixtures("compiler")
def test_a_step_with_sums_is_compiled(dtype, hidden, cells, xp, monkeypatch):
    """130 units are more than the threads of a block; the law compares with the eager cell."""
    chosen, choose = [], loop.choose

    def noted(*arguments, **options):
        engine = choose(*arguments, **options)
        chosen.append(engine.name)
        return engine

    monkeypatch.setattr(loop, "choose", noted)
    monkeypatch.setenv("XPBPTT_ENGINE", "stepwise")
    laws.engines(xpbptt.Net(cells["norm"], 3, hidden), xp=xp, dtype=dtype)
    assert "stepwise" in chosen
