"""Both directions of a layer in one launch: the bytes of two, and when there are two after all."""

import re
from collections import Counter
from contextlib import contextmanager
from importlib import import_module

import cupy
import numpy as np
import pytest
from helpers import cover, host

import xpbptt
from cupy_on_cpu import ORDERS, Hang, order
from xpbptt._arrays.tree import leaves, map_leaves
from xpbptt.bptt import KeepAll, Run, Watch, concatenate, reverse, unroll
from xpbptt.bptt.layers import combinators
from xpbptt.bptt.layers.passes import alone
from xpbptt.kernels.cuda import free, group, sequence
from xpbptt.kernels.cuda.plan import Device, Sizes, plans, refusal
from xpbptt.kernels.target import Call

I, H, B = 3, 13, 5  # two blocks of 7 and 6 units, or one of 13; groups of 3 and 2 sequences
CELLS = import_module("kernels.conftest").CELLS
DEVICE = Device(4, 232448, (9, 0), 1.5, cooperative=True)
H100 = Device(132, 232448, (9, 0), 1.755, cooperative=True)
PASSES = ("record", "back", "advance")


@pytest.fixture
def planning(monkeypatch, forget):
    """Have the plans of one and of two directions be the same, of so many blocks a group."""

    def planned(blocks):
        def chosen(device, sizes):
            assert device.processors in {4, 8}
            found = real(DEVICE, sizes)
            return [p for p in found if p.blocks == blocks and p.tile.batch == 2]

        monkeypatch.setattr(sequence, "plans", chosen)
        monkeypatch.setattr(sequence, "refusal", lambda *_: "")
        monkeypatch.setattr(sequence, "device", lambda _: DEVICE._replace(processors=8))
        forget()

    real = sequence.plans
    yield planned
    forget()


@contextmanager
def afresh():
    """Forget which kernels there are, before and after."""
    finding = import_module("xpbptt.kernels.find")
    caches = (finding._compiled, import_module("xpbptt.bptt.engines.engine")._fastest)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finding, "_kernels", {})
        for cache in caches:
            cache.cache_clear()
        yield
    for cache in caches:
        cache.cache_clear()


@pytest.fixture
def one_by_one(monkeypatch):
    """Run the directions one after the other."""

    def apart():
        monkeypatch.setattr(combinators, "together", lambda one, other: (alone(one), alone(other)))

    return apart


def given(cell, dtype, steps, *, masked):
    """Return a net and what it takes, as arrays of NumPy."""
    random = np.random.default_rng(3)
    net = xpbptt.Net(CELLS[cell], I, H, bidirectional=True)
    draw = lambda *shape: random.standard_normal(shape).astype(dtype)  # noqa: E731
    params, x = net.init(1, dtype=dtype), draw(steps, B, I)
    _, like = net.infer(params, draw(1, B, I))
    state, dstate = (map_leaves(lambda part: draw(*part.shape), like) for _ in range(2))
    mask = random.random((steps, B)) < 0.7 if masked else None
    return net, (params, x, state, mask, draw(steps, B, 2 * H), dstate)


def everything(net, arrays, bptt=None, **options):
    """Return all numbers of a pass: forward, back and inference."""
    arrays = map_leaves(lambda a: a if a is None else cupy.asarray(a), arrays)
    params, x, state, mask, dy, dstate = arrays
    y, last, cache = net.forward(params, x, state, mask, bptt=bptt or KeepAll())
    found = y, last, net.backward(cache, dy, dstate, **options), net.infer(params, x, state, mask)
    return [host(leaf).tobytes() for _, leaf in leaves(found)]


def sequences(count):
    """Return how often kernels of whole sequences were launched, by the kind of their pass."""
    found = Counter()
    for name, number in count.launches.items():
        found[name.rpartition("_")[2]] += number if "sequence" in name else 0
    return [found[kind] for kind in PASSES]


@cover(
    ("cell", "blocks", "dtype", "masked", "steps", "bptt"),
    ("lstm", "gru", "free"),
    (1, 2),
    ("float16", "float32", "float64"),
    (False, True),
    (1, 6),
    (KeepAll(), xpbptt.Truncated(2)),
)
def test_one_launch_makes_the_bytes_of_two(
    cell, blocks, dtype, masked, steps, bptt, planning, one_by_one, counting
):
    net, arrays = given(cell, dtype, steps, masked=masked)
    planning(blocks)
    with counting() as count:
        found = everything(net, arrays, bptt)
    assert sequences(count) == [1, 1, 1]
    assert count.cooperative == (3 if blocks > 1 and cell != "free" else 0)
    one_by_one()
    with counting() as count:
        assert everything(net, arrays, bptt) == found
    assert sequences(count) == [2, 2, 2]


@pytest.mark.parametrize("cell", ["lstm", "free"])
def test_the_same_bytes_in_every_order(cell, planning):
    net, arrays = given(cell, "float32", 4, masked=True)
    planning(2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(combinators, "together", lambda one, other: (alone(one), alone(other)))
        expected = everything(net, arrays)
    for name in ORDERS:
        with order(name, 1):
            assert everything(net, arrays) == expected, name


def test_the_numbers_are_those_of_numpy():
    net, arrays = given("lstm", "float64", 6, masked=True)
    params, x, state, mask, dy, dstate = arrays
    y, last, cache = net.forward(params, x, state, mask)
    expected = y, last, net.backward(cache, dy, dstate)
    params, x, state, mask, dy, dstate = map_leaves(cupy.asarray, arrays)
    y, last, cache = net.forward(params, x, state, mask)
    found = y, last, net.backward(cache, dy, dstate)
    for (_, ours), (_, wanted) in zip(leaves(found), leaves(expected), strict=True):
        np.testing.assert_allclose(host(ours), wanted, atol=1e-13)


def test_no_steps_launch_nothing(counting):
    net, arrays = given("lstm", "float32", 0, masked=False)
    with counting() as count:
        assert len(everything(net, arrays)) > 0
    assert sequences(count) == [0, 0, 0]


def test_segments_go_in_pairs(planning, counting):
    """Three segments of two steps: the last is kept, the others are recorded again."""
    net, arrays = given("gru", "float32", 6, masked=False)
    planning(1)
    with counting() as count:
        everything(net, arrays, xpbptt.Segments(2))
    pairs = sequences(count)
    planning(1)
    with pytest.MonkeyPatch.context() as patch, counting() as count:
        patch.setattr(combinators, "together", lambda one, other: (alone(one), alone(other)))
        everything(net, arrays, xpbptt.Segments(2))
    assert pairs[1] == 3
    assert sequences(count) == [2 * each for each in pairs]


def test_layers_with_heads_go_in_pairs(counting):
    net = xpbptt.Net(CELLS["lstm"]._replace(heads=2), I, 6, bidirectional=True)
    params, x = net.init(0, xp=cupy), cupy.ones((4, B, I), dtype="float32")
    with counting() as count:
        y, state, cache = net.forward(params, x)
        net.backward(cache, y, state)
        net.infer(params, x)
    assert sequences(count) == [1, 1, 1]


def test_what_goes_step_by_step_does_so_in_both_directions(counting):
    net, arrays = given("lstm", "float32", 4, masked=False)
    with counting() as count:
        everything(net, arrays, clip_step=0.1)
    assert sequences(count) == [1, 0, 1]
    assert count.launches["xpbptt_LSTM_back"] == 8


# Of A100, H100 and B200.
@pytest.mark.parametrize("processors", [108, 132, 148, 1, 7])
def test_the_blocks_of_both_directions_fit_the_device_at_once(processors):
    device = DEVICE._replace(processors=processors)
    for hidden in (5, 64, 256, 400):
        for batch in (1, 16, 200):
            for back in (False, True):
                sizes = Sizes(4, hidden, batch, "float32", back)
                for plan in plans(device.share(2), sizes):
                    assert 2 * plan.blocks * plan.groups <= processors


def test_two_launches_where_no_plan_fits_both(monkeypatch, forget, counting):
    """Two blocks of one direction fit a device of three multiprocessors, four do not."""
    net, arrays = given("lstm", "float32", 4, masked=False)
    expected = everything(net, arrays)
    real = sequence.plans
    two = lambda device, sizes: [p for p in real(device, sizes) if p.blocks == 2]  # noqa: E731
    monkeypatch.setattr(sequence, "plans", two)
    monkeypatch.setattr("xpbptt.kernels.cuda.plan.plans", two)
    monkeypatch.setattr(sequence, "device", lambda _: DEVICE._replace(processors=3))
    forget()
    with counting() as count:
        found = everything(net, arrays)
    forget()
    assert sequences(count) == [2, 2, 2]
    for pair in zip(found, expected, strict=True):
        ours, wanted = (np.frombuffer(each, "float32") for each in pair)
        np.testing.assert_allclose(ours, wanted, atol=1e-5)


def test_two_launches_where_that_is_faster():
    """By the model: large weights leave half of the multiprocessors too little, or too slow."""
    a100, h100 = Device(108, 166912, (8, 0), 1.41, cooperative=True), H100
    for device, hidden, batch, said in (
        (h100, 256, 16, ""),
        (h100, 1024, 1, ""),
        (a100, 1024, 1, "shared memory of 54 multiprocessors"),
        (h100, 1024, 16, "longer than one direction after the other"),
    ):
        sizes = Sizes(4, hidden, batch, "float32", back=False)
        assert refusal(device, sizes) == ""
        found = refusal(device, sizes, 2)
        assert said in found
        assert bool(said) == bool(found)


@pytest.mark.parametrize(
    ("cells", "sizes"), [(("lstm", "gru"), (5, 5)), (("lstm", "lstm"), (5, 7))]
)
def test_two_launches_where_the_layers_differ(cells, sizes, counting):
    """Side by side may stand any two layers."""
    xp = import_module("array_api_compat.cupy")
    nets = [xpbptt.Net(CELLS[c], I, h) for c, h in zip(cells, sizes, strict=True)]
    params = tuple(net.init(k, xp=xp)[0] for k, net in enumerate(nets))
    x = xp.asarray(np.random.default_rng(0).standard_normal((4, B, I)).astype("float32"))
    state = tuple(net.infer((p,), x)[1][0] for net, p in zip(nets, params, strict=True))
    layer = concatenate(unroll(nets[0].cell), reverse(unroll(nets[1].cell)))
    run = Run(plan=KeepAll().plan(4, None))
    with counting() as count:
        y, last, cache = layer.forward(params, x, state, run, xp=xp)
        grads, _ = layer.backward(cache, y, last, Watch(), xp=xp)
    assert sum(sequences(count)) == 4
    (left, _, kept), (right, _, turned) = (
        one.forward(p, x, s, run, xp=xp)
        for one, p, s in zip(
            (unroll(nets[0].cell), reverse(unroll(nets[1].cell))), params, state, strict=True
        )
    )
    assert (y == xp.concat((left, right), axis=-1)).all()
    own, _ = unroll(nets[0].cell).backward(kept, y[..., : sizes[0]], last[0], Watch(), xp=xp)
    assert (grads.params[0].weight_hh == own.params.weight_hh).all()
    assert turned.inputs.x.shape == x.shape


@pytest.mark.parametrize("cell", ["lstm", "free"])
def test_two_launches_where_the_kernel_of_both_cannot_be_built(cell, monkeypatch, counting):
    module = {"lstm": group, "free": free}[cell]
    real = module.source

    def source(*arguments):
        if arguments[-1] == 2 and len(arguments) == (3 if cell == "free" else 4):
            message = "no such instruction"
            raise RuntimeError(message)
        return real(*arguments)

    monkeypatch.setattr(module, "source", source)
    net, arrays = given(cell, "float32", 3, masked=False)
    with afresh(), counting() as count:
        everything(net, arrays)
    assert sequences(count) == [2, 2, 2]


def test_calls_forward_and_back_are_no_pair():
    one, other = Call(sequence.forward, ()), Call(sequence.backward, ())
    assert not sequence.pair(one, other)
    assert not sequence.pair(other, one)


FAULTS = {  # what is put in the place of what, in the kernels of two directions
    "both count together": ("group", r"\(blockIdx\.z \* gridDim\.y \+ group\)", "group"),
    "both write the same parts": ("group", r"2 \* blockIdx\.z \* all \+ ", ""),
    "both read one input": ("group", r"blockIdx\.z \? u_1 : u_0", "u_0"),
    "both have one W_hh": ("group", r"blockIdx\.z \? weight_1 : weight_0", "weight_0"),
    "free: both read one input": ("free", r"blockIdx\.z \? u_1 : u_0", "u_0"),
}
WAYS = [("greedy", 1), ("greedy-reversed", 1), *(("starved", seed) for seed in range(6))]


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_between_the_directions_is_caught(name, planning, monkeypatch):
    which, pattern, text = FAULTS[name]
    cell = "free" if which == "free" else "lstm"
    net, arrays = given(cell, "float32", 4, masked=False)
    planning(2)
    expected = everything(net, arrays)
    module, changed = {"free": free, "group": group}[which], []
    real = module.source

    def source(*arguments):
        made, count = re.subn(pattern, text, real(*arguments))
        changed.append(count)
        return made

    monkeypatch.setattr(module, "source", source)

    def caught(way, seed):
        try:
            with order(way, seed):
                return everything(net, arrays) != expected
        except Hang:
            return True

    with afresh():
        assert any(caught(*each) for each in WAYS)
        assert any(changed)
