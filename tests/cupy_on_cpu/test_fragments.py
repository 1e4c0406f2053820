"""Products by tensor cores on a simulated GPU: the instruction, and whole sequences of float16."""

import re
from contextlib import contextmanager
from importlib import import_module

import cupy
import numpy as np
import pytest
from helpers import cover, host, map_arrays

import xpbptt
from cupy_on_cpu import Hang
from xpbptt._arrays.tree import leaves
from xpbptt.bptt.engines import engine
from xpbptt.kernels.cuda import group, plan, sequence
from xpbptt.kernels.cuda.fragments import BATCHES, LANES, MMA, WARPS, fragments
from xpbptt.kernels.cuda.plan import Device

I = 3
CELLS = import_module("kernels.conftest").CELLS
H100 = Device(132, 232448, (9, 0), 1.755, cooperative=True)
UNIT = 2.0**-11  # of float16: a half of the distance to the next number above 1

KERNEL = f"""
{MMA}
extern "C" __global__ void product(const uint4* a, const uint2* b, float4* d) {{
  float sums[4] = {{d[threadIdx.x].x, d[threadIdx.x].y, d[threadIdx.x].z, d[threadIdx.x].w}};
  if (threadIdx.x < LANES) mma(sums, a[threadIdx.x], b[threadIdx.x].x, b[threadIdx.x].y);
  d[threadIdx.x] = make_float4(sums[0], sums[1], sums[2], sums[3]);
}}
"""


def instruction(a, b, d, lanes=LANES):
    """Run the instruction with what the lanes hold, in the order of their registers."""
    a, b, d = map(cupy.asarray, (a, b, d))
    run = cupy.RawKernel(KERNEL.replace("LANES", str(lanes)), "product")
    run((1,), (LANES,), (a, b, d))
    return d.get()


def held():
    """Return which rows and columns of A, B and D the lanes hold.

    They are those of the figures of the PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating
    point type": quarters of A and halves of B and D, in each of which four lanes share a row of A
    and of D, or a column of B, two neighbouring elements a lane.
    """
    two = np.add.outer(2 * np.arange(4), np.arange(2))  # of a lane
    along = np.broadcast_to(two, (8, 4, 2)).reshape(LANES, 2)
    across = np.repeat(np.arange(8), 4)[:, None] + np.zeros(2, int)
    a = [(across + down, along + right) for right in (0, 8) for down in (0, 8)]
    b = [(along + down, across) for down in (0, 8)]
    d = [(across + down, along) for down in (0, 8)]
    return [[np.concatenate(each, axis=1) for each in zip(*x, strict=True)] for x in (a, b, d)]


def test_every_element_is_held_once():
    for (rows, columns), shape in zip(held(), [(16, 16), (16, 8), (16, 8)], strict=True):
        count = np.zeros(shape, int)
        np.add.at(count, (rows, columns), 1)
        assert (count == 1).all()


def test_the_instruction_multiplies_matrices():
    random = np.random.default_rng(0)
    a, b, d = (random.standard_normal(shape) for shape in ((16, 16), (16, 8), (16, 8)))
    a, b, d = a.astype("float16"), b.astype("float16"), d.astype("float32")
    of_a, of_b, of_d = held()
    got = instruction(a[*of_a], b[*of_b], d[*of_d])
    expected = d + a.astype("float64") @ b.astype("float64")
    np.testing.assert_allclose(got, expected[*of_d], rtol=0, atol=1e-5)


def test_sums_are_made_in_float32():
    """In float16 2048 + 1 is 2048."""
    of_a, of_b, of_d = held()
    a, b = np.ones((16, 16), "float16"), np.ones((16, 8), "float16")
    got = instruction(a[*of_a], b[*of_b], np.full((16, 8), 2048, "float32")[*of_d])
    assert (got == 2048 + 16).all()


def test_a_part_of_a_warp_hangs():
    """The instruction is one of all lanes."""
    a, b, d = (np.zeros((LANES, n), t) for n, t in ((8, "f2"), (4, "f2"), (4, "f4")))
    with pytest.raises(Hang):
        instruction(a, b, d, lanes=16)


@pytest.mark.parametrize("registers", [4, 30, 204])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (16, 16), (17, 15), (129, 128), (128, 2049)])
def test_every_weight_is_dealt_out_once(rows, columns, registers):
    found = [each for batch in BATCHES for each in fragments(rows, columns, batch, registers)]
    for each in found:
        assert each.split * each.lines == WARPS
        assert each.height >= rows > each.height - 16 * each.lines
        assert each.depth - 8 >= columns > each.depth - 8 - 16 * each.split
        assert 0 <= each.spare <= each.tall
        assert each.registers <= registers
        assert each.depth % 64 in {8, 24, 40, 56}  # the rows of `in` begin in different banks
        assert each.shared(rows) % 4 == 0


@pytest.fixture
def planning(monkeypatch, forget):
    """Have the plan be one of so many blocks, sequences at once, and warps that share a sum.

    So many of the rows of fragments of a warp are in shared memory, at most all.
    """

    def planned(blocks, some, split, spare=0):
        def chosen(of, sizes):
            found = real(H100._replace(processors=7), sizes)
            found = [each for each in found if each.blocks == blocks]
            most = max(each.tile.batch for each in found)
            found = [each for each in found if each.tile.batch == min(some, most)]
            [found] = [each for each in found if each.tile.split == split]
            tile = found.tile._replace(spare=min(spare, found.tile.tall))
            return [found._replace(tile=tile, shared=tile.shared(0))]

        monkeypatch.setattr(sequence, "plans", chosen)
        monkeypatch.setattr(sequence, "refusal", lambda *_: "")
        monkeypatch.setattr(sequence, "device", lambda _: H100._replace(processors=7))
        forget()

    real = sequence.plans
    yield planned
    forget()


def given(cell, hidden, batch, steps, *, masked, both):
    """Return a net and what it takes, in float16, as arrays of NumPy."""
    random = np.random.default_rng(3)
    net = xpbptt.Net(CELLS[cell], I, hidden, bidirectional=both)
    draw = lambda *shape: random.standard_normal(shape).astype("float16")  # noqa: E731
    params, x = net.init(1, dtype="float16"), draw(steps, batch, I)
    _, like = net.infer(params, draw(1, batch, I))
    state, dstate = (map_arrays(lambda part: draw(*part.shape), like) for _ in range(2))
    mask = random.random((steps, batch)) < 0.7 if masked else None
    return net, params, x, state, mask, draw(steps, batch, hidden * (1 + both)), dstate


def everything(convert, net, params, x, state, mask, dy, dstate, **options):
    """Return all numbers of a pass: forward, back and inference."""
    params, x, state, dy, dstate = (
        map_arrays(convert, each) for each in (params, x, state, dy, dstate)
    )
    mask = mask if mask is None or convert is not cupy.asarray else cupy.asarray(mask)
    y, last, cache = net.forward(params, x, state, mask, **options)
    found = y, last, net.backward(cache, dy, dstate), net.infer(params, x, state, mask)
    return [host(leaf).astype("float64") for _, leaf in leaves(found)]


def assert_close(found, expected, units):
    for array, wanted in zip(found, expected, strict=True):
        scale = max(1, np.max(np.abs(wanted), initial=0))
        np.testing.assert_allclose(array / scale, wanted / scale, rtol=0, atol=units * UNIT)


@cover(
    ("cell", "hidden", "batch", "blocks", "some", "split", "spare", "steps", "masked", "both"),
    ("lstm", "gru", "mgu", "own", "some"),
    (1, 7, 16, 33, 72),  # below, at and above eight units and a fragment, and of two
    (1, 3, 9, 17),
    (1, 2, 3),
    BATCHES,
    (1, 2, 4, 8),
    (0, 1, 100),
    (0, 1, 4),
    (False, True),
    (False, True),
)
def test_the_numbers_are_those_of_float64(
    cell, hidden, batch, blocks, some, split, spare, steps, masked, both, planning,
    monkeypatch, counting,
):  # fmt: skip
    """One block or more, pieces of few sequences or many, fragments in registers and in memory."""
    arrays = given(cell, hidden, batch, steps, masked=masked, both=both)
    expected = everything(lambda each: each.astype("float64"), *arrays)
    monkeypatch.setenv(engine.ENGINE, "sequence")
    planning(min(blocks, hidden), some, split, spare)
    with counting() as count:
        found = everything(cupy.asarray, *arrays)
    # A float16 is off by one unit at each step and in each product; the sums add little.
    assert_close(found, expected, units=8)
    made = {k for name, each in count.kernels.items() if "sequence" in name for k in each}
    assert all("mma.sync" in each.source for each in made)
    ours = [number for name, number in count.launches.items() if "sequence" in name]
    assert ours == ([1, 1, 1] if steps else [])
    monkeypatch.setenv(engine.ENGINE, "stepwise")
    assert_close(found, everything(cupy.asarray, *arrays), units=10)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("bptt", [xpbptt.Truncated(2), xpbptt.Segments(2)], ids=repr)
def test_truncated_and_in_segments(cell, bptt, planning, monkeypatch):
    arrays = given(cell, 19, 5, 6, masked=True, both=False)
    expected = everything(lambda each: each.astype("float64"), *arrays, bptt=bptt)
    monkeypatch.setenv(engine.ENGINE, "sequence")
    planning(3, 2, 2)
    assert_close(everything(cupy.asarray, *arrays, bptt=bptt), expected, units=8)


def test_nan_stays_with_its_sequence(planning, monkeypatch):
    """Also where a fragment is filled up: 0 times NaN would be NaN."""
    net, params, x, *_ = given("lstm", 19, 11, 3, masked=False, both=False)
    x[:, 4] = np.nan
    monkeypatch.setenv(engine.ENGINE, "sequence")
    planning(2, 8, 2)
    params, x = map_arrays(cupy.asarray, params), cupy.asarray(x)
    y, _, cache = net.forward(params, x)
    lost = np.isnan(net.backward(cache, y).x.get()).all(axis=(0, 2))
    assert [*np.flatnonzero(np.isnan(y.get()).any(axis=(0, 2)))] == [4] == [*np.flatnonzero(lost)]


@pytest.mark.parametrize("hidden", [5, 40])
def test_older_devices_multiply_in_float32(hidden, planning, monkeypatch, counting):
    """Below compute capability 8.0 the instruction has other shapes."""
    arrays = given("gru", hidden, 5, 4, masked=True, both=False)
    expected = everything(lambda each: each.astype("float64"), *arrays)
    monkeypatch.setenv(engine.ENGINE, "sequence")
    planning(1, 1, 1)
    old = H100._replace(capability=(7, 5))
    monkeypatch.setattr(sequence, "plans", lambda _, sizes: plan.plans(old, sizes))
    with counting() as count:
        assert_close(everything(cupy.asarray, *arrays), expected, units=8)
    made = {k for name, each in count.kernels.items() if "sequence" in name for k in each}
    assert len(made) == 3
    assert not any("mma.sync" in each.source for each in made)


@contextmanager
def afresh():
    """Forget which kernels there are, before and after."""
    finding = import_module("xpbptt.kernels.find")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finding, "_kernels", {})
        for cache in (finding._compiled, engine._fastest):
            cache.cache_clear()
        yield
    for cache in (finding._compiled, engine._fastest):
        cache.cache_clear()


FAULTS = {
    "rows and columns of a fragment": (r"q % 2 \* 8;\n", "q / 2 * 8;\n"),
    "the halves of a register": (
        r"bits\(r, k\) \| bits\(r, k \+ 1\) << 16",
        "bits(r, k + 1) | bits(r, k) << 16",
    ),
    "the lanes of a row": (r"\+ lane / 4 \+ q % 2", "+ lane % 8 + q % 2"),
    "the upper half of a column": (r"\+ 8\);\n", ");\n"),
    "sums of another row": (r"lane / 4 \+ q / 2 \* 8", "lane / 4 + q % 2 * 8"),
    "sums of another sequence": (r"lane % 4 \* 2 \+ q % 2", "lane % 4 * 2 + 1 - q % 2"),
    "a share is left out": (r"share = warp % 2", "share = 0"),
    "the padding is what was there": (r"in\[e\] = 0;", ";"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_in_the_layout_is_caught(name, planning, monkeypatch):
    pattern, text = FAULTS[name]
    arrays = given("lstm", 37, 6, 3, masked=False, both=False)
    expected = everything(lambda each: each.astype("float64"), *arrays)
    real = group.source

    def changed(*given):
        source, count = re.subn(pattern, text, real(*given))
        assert count == 1, f"{pattern} is there {count} times"
        return source

    monkeypatch.setattr(group, "source", changed)
    monkeypatch.setenv(engine.ENGINE, "sequence")
    planning(2, 4, 2)
    with afresh(), pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_close(everything(cupy.asarray, *arrays), expected, units=8)
