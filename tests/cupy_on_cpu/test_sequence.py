"""The loop `sequence` on a simulated GPU: a whole sequence in one launch."""

from importlib import import_module

import cupy
import numpy as np
import pytest
from helpers import cover, host

import xpbptt
from cupy_on_cpu import ORDERS, order
from xpbptt._arrays.tree import leaves
from xpbptt.bptt.engines import engine
from xpbptt.kernels.cuda import sequence

I = 3
CELLS = import_module("kernels.conftest").CELLS


@pytest.fixture
def planning(monkeypatch):
    """Have every plan be one of so many blocks, and of a product of so many sequences at once."""

    def plan(blocks, some):
        def chosen(device, sizes):
            found = [each for each in real(device, sizes) if each.blocks == blocks]
            most = max(each.tile.batch for each in found)
            return [each for each in found if each.tile.batch == min(some, most)]

        monkeypatch.setattr(sequence, "plans", chosen)
        monkeypatch.setattr(sequence, "refusal", lambda *_: "")
        engine._fastest.cache_clear()

    real = sequence.plans
    return plan
