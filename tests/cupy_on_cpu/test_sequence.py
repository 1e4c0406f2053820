"""The loop `sequence` on a simulated GPU: a whole sequence in one launch."""

from importlib import import_module

import cupy
import numpy as np
import pytest
from helpers import cover, host

import xpbptt
from xpbptt._arrays.tree import leaves, map_leaves
from xpbptt.bptt.engines import engine
from xpbptt.kernels.cuda import plan, sequence

I = 3
CELLS = import_module("kernels.conftest").CELLS


@pytest.fixture
def planning(monkeypatch, forget):
    """Have every plan be one of so many blocks, and of a product of so many sequences at once."""

    def planned(blocks, some, processors=132):
        def chosen(of, sizes):
            found = real(of._replace(processors=processors), sizes)
            found = [each for each in found if each.blocks == blocks]
            most = max(each.tile.batch for each in found)
            return [each for each in found if each.tile.batch == min(some, most)]

        monkeypatch.setattr(sequence, "plans", chosen)
        monkeypatch.setattr(sequence, "refusal", lambda *_: "")
        forget()

    real = sequence.plans
    yield planned
    forget()


def given(cell, hidden, batch, dtype, *, masked, steps=5):
    """Return a net and what it takes, as arrays of NumPy."""
    random = np.random.default_rng(3)
    net = xpbptt.Net(CELLS[cell], I, hidden)
    draw = lambda *shape: random.standard_normal(shape).astype(dtype)  # noqa: E731
    params, x = net.init(1, dtype=dtype), draw(steps, batch, I)
    _, like = net.infer(params, x)
    state, dstate = (map_leaves(lambda part: draw(*part.shape), like) for _ in range(2))
    mask = random.random((steps, batch)) < 0.7 if masked else None
    return net, (params, x, state, mask, draw(steps, batch, hidden), dstate)


def everything(net, arrays, bptt=None, **options):
    """Return all numbers of a pass: forward, back and inference."""
    params, x, state, mask, dy, dstate = arrays
    y, last, cache = net.forward(params, x, state, mask, bptt=bptt or xpbptt.KeepAll())
    found = y, last, net.backward(cache, dy, dstate, **options), net.infer(params, x, state, mask)
    return [host(leaf) for _, leaf in leaves(found)]


@cover(
    ("cell", "hidden", "batch", "blocks", "some", "registers", "dtype", "masked", "options"),
    ("lstm", "gru", "mgu", "own", "free", "some"),
    (1, 7, 37),
    (1, 3, 8),
    (1, 2, 3),
    (1, 4),
    (204, 30),
    ("float16", "float32", "float64"),
    (False, True),
    ({}, {"bptt": xpbptt.Truncated(2)}, {"trace": True}),
)
def test_the_numbers_are_those_of_numpy(
    cell,
    hidden,
    batch,
    blocks,
    some,
    registers,
    dtype,
    masked,
    options,
    planning,
    monkeypatch,
    counting,
):
    """One block or more, groups of few or many, weights in registers and in shared memory."""
    net, arrays = given(cell, hidden, batch, dtype, masked=masked)
    # NumPy compiles no float16, and the eager cell rounds more than the kernel does.
    wide = map_leaves(lambda a: a.astype("float32") if a.dtype == "float16" else a, arrays)
    expected = everything(net, wide, **options)
    monkeypatch.setenv(engine.ENGINE, "sequence")
    blocks = min(blocks, hidden)
    monkeypatch.setattr(plan, "REGISTERS", registers)
    planning(blocks, some, processors=7)
    with counting() as count:
        found = everything(
            net, map_leaves(lambda a: a if a is None else cupy.asarray(a), arrays), **options
        )
    assert count.cooperative == (3 if blocks > 1 and cell != "free" else 0)
    ours = [number for name, number in count.launches.items() if "sequence" in name]
    assert ours == [1, 1, 1]
    unit = {"float16": 1e-2, "float32": 2e-6, "float64": 1e-14}[dtype]
    for array, wanted in zip(found, expected, strict=True):
        scale = max(1, np.max(np.abs(wanted), initial=0))
        np.testing.assert_allclose(array / scale, wanted / scale, rtol=0, atol=unit)
