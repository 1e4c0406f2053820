import math
from dataclasses import replace

import numpy as np
import pytest

from xpbptt._arrays.tree import leaves, map_leaves
from xpbptt.commands.base.errors import UserError
from xpbptt.commands.train.host import to_device, to_host
from xpbptt.commands.train.model import build, one_hot
from xpbptt.commands.train.sample import draw, encode, sample
from xpbptt.commands.train.settings import Settings
from xpbptt.commands.train.text import Corpus
from xpbptt.commands.train.train import MAX_NORM, Trainer

VOCABULARY = "abcdefg"
CORPUS = Corpus.encode("example", ["abcdefgfedcbaabc" * 12])
SETTINGS = Settings(cell="lstm", hidden=6, layers=2, batch=3, chunk=4, seed=1)


def make_trainer(xp, **changes):
    settings = Settings(**{**vars(SETTINGS), **changes})
    model = build(settings, len(CORPUS.vocabulary))
    return Trainer(model, settings, CORPUS.streams(settings.batch, settings.chunk), xp)


def assert_same(left, right):
    pairs = list(zip(leaves(left), leaves(right), strict=True))
    assert len(pairs) >= 10
    for (path, a), (_, b) in pairs:
        np.testing.assert_array_equal(to_host(a), to_host(b), err_msg=path)


def test_one_hot(xp):
    got = one_hot(xp.asarray([[2, 0, 1]]), 4, dtype=xp.float64, xp=xp)
    assert got.dtype == xp.float64
    np.testing.assert_array_equal(to_host(got)[0], np.eye(4)[[2, 0, 1]])


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_gradients_are_the_derivative_along_any_direction(cell):
    settings = Settings(cell=cell, hidden=6, layers=2)
    model = build(settings, 7)
    rng = np.random.default_rng(2)
    params = map_leaves(lambda a: a.astype(np.float64), model.init(0, xp=np))
    along = map_leaves(lambda a: rng.normal(size=a.shape), params)
    ids = rng.integers(7, size=(5, 3)).astype(np.int32)

    def loss(epsilon):
        moved = map_leaves(lambda p, d: p + epsilon * d, params, along)
        return model.loss_and_gradients(moved, ids[:-1], ids[1:], None, xp=np)[0]

    _, grads, state = model.loss_and_gradients(params, ids[:-1], ids[1:], None, xp=np)
    slope = sum(np.sum(g * d) for (_, g), (_, d) in zip(leaves(grads), leaves(along), strict=True))
    assert slope == pytest.approx(float(loss(1e-6) - loss(-1e-6)) / 2e-6, rel=1e-7)
    assert state[1].h.shape == (3, 6)


@pytest.mark.parametrize(
    ("length", "expected"), [(8, [4, 4, 4]), (9, [4, 8, 4]), (12, [4, 8, 4]), (13, [4, 8, 12, 4])]
)
def test_a_step_reads_on_and_starts_again_at_the_end_without_a_state(length, expected):
    trainer = make_trainer(np)
    trainer = replace(trainer, streams=trainer.streams[:length])
    progress = trainer.start()
    assert (progress.state, progress.position) == (None, 0)
    for step, position in enumerate(expected, start=1):
        fresh, _ = trainer.step(progress._replace(state=None, position=0))
        progress, loss = trainer.step(progress)
        assert progress.position == position
        assert progress.moments.step == step
        assert loss.shape == ()
        same = np.array_equal(progress.state[0].c, fresh.state[0].c)
        assert same == (position == 4)


def test_the_state_matters_to_the_next_step():
    trainer = make_trainer(np)
    first, _ = trainer.step(trainer.start())
    _, carried = trainer.step(first)
    _, fresh = trainer.step(first._replace(state=None))
    assert float(carried) != float(fresh)


def test_the_gradient_is_clipped():
    trainer = make_trainer(np, learning_rate=1.0)
    start = trainer.start()
    huge = start._replace(params=map_leaves(lambda a: a * 100, start.params))
    progress, _ = trainer.step(huge)
    squares = sum(float(np.sum(m**2)) for _, m in leaves(progress.moments.mean))
    assert math.sqrt(squares) == pytest.approx(0.1 * MAX_NORM, rel=1e-4)  # (1 - beta1) of it


def test_training_learns_a_text_that_can_be_foretold():
    trainer = make_trainer(np, layers=1, hidden=16, learning_rate=1e-2)
    progress = trainer.start()
    for _ in range(150):
        progress, _ = trainer.step(progress)
    bits = trainer.model.bits_per_character(progress.params, CORPUS.held_out, 4, xp=np)
    assert bits < 0.9
    start = trainer.model.bits_per_character(trainer.start().params, CORPUS.held_out, 4, xp=np)
    assert start == pytest.approx(math.log2(7), rel=0.1)


def test_every_library_takes_the_same_steps(xp):
    ours, reference = make_trainer(xp), make_trainer(np)
    progress, expected = ours.start(), reference.start()
    assert_same(progress.params, expected.params)
    for _ in range(3):
        progress, loss = ours.step(progress)
        expected, expected_loss = reference.step(expected)
        assert float(loss) == pytest.approx(float(expected_loss), rel=1e-5)
    for (path, a), (_, b) in zip(leaves(progress.params), leaves(expected.params), strict=True):
        assert a.dtype == xp.float32
        np.testing.assert_allclose(to_host(a), b, atol=1e-4, err_msg=path)


def test_going_to_the_host_and_back_changes_no_bit_of_what_follows(xp):
    trainer = make_trainer(xp)
    straight = trainer.start()
    for _ in range(3):
        straight, _ = trainer.step(straight)
    resumed = straight.convert(to_host).convert(lambda tree: to_device(tree, xp=xp))
    assert type(resumed.params["readout"].bias) is type(straight.params["readout"].bias)
    for _ in range(3):
        straight, _ = trainer.step(straight)
        resumed, _ = trainer.step(resumed)
    assert straight.position == resumed.position
    assert_same(straight.params, resumed.params)
    assert_same(straight.moments, resumed.moments)


@pytest.mark.parametrize("size", [2, 3, 300, 2500])
def test_held_out_bits_count_every_character_once(xp, size):
    model = build(Settings(hidden=6), 7)
    params = model.init(0, xp=np)
    ids = np.random.default_rng(0).integers(7, size=size).astype(np.int32)
    streams = max((size - 1) // 1000, 1)
    length = -(-(size - 1) // streams)
    total = 0.0
    for k in range(streams):  # each stream alone, in one piece, by the literal formula
        part = ids[k * length : min((k + 1) * length, size - 1) + 1]
        logits, _ = model.read(params, part[:-1, None], None, xp=np)
        z = logits[:, 0, :].astype(np.float64)
        total += np.sum(np.log2(np.sum(np.exp(z), axis=1)))
        total -= np.sum(z[np.arange(len(z)), part[1:]]) / math.log(2)
    chunk = 10 if size < 1000 else 500
    if xp.__name__ != "jax.numpy" or size < 1000:  # compiling 500 steps takes JAX too long
        on_xp = to_device(params, xp=xp)
        got = model.bits_per_character(on_xp, ids, chunk, xp=xp)
        assert got == pytest.approx(total / (size - 1), rel=1e-5)


def test_sampling_is_repeatable_and_the_same_on_every_library(xp):
    model = build(Settings(hidden=6), 7)
    on_host = model.init(0, xp=np)
    on_host = {**on_host, "readout": map_leaves(lambda a: 5 * a, on_host["readout"])}
    how = {"length": 30, "prompt": "abc", "seed": 3}
    got = "".join(sample(model, to_device(on_host, xp=xp), VOCABULARY, xp=xp, **how))
    assert got == "".join(sample(model, on_host, VOCABULARY, xp=np, **how))
    assert len(got) == 30
    assert set(got) <= set(VOCABULARY)
    other = "".join(sample(model, on_host, VOCABULARY, xp=np, **{**how, "seed": 4}))
    assert got != other
    assert got[:5] != "".join(sample(model, on_host, VOCABULARY, xp=np, length=5, prompt="gfe"))


def test_the_prompt_is_read_and_the_state_goes_on():
    """Character by character, the sample is what reading all of the text at once foretells."""
    model = build(Settings(cell="gru", hidden=6, layers=2), 7)
    params = map_leaves(lambda a: 5 * a, model.init(4, xp=np))
    got = "".join(sample(model, params, VOCABULARY, xp=np, prompt="ba", length=12, temperature=0))
    ids = encode("ba" + got, VOCABULARY)
    logits, _ = model.read(params, ids[:, None], None, xp=np)
    np.testing.assert_array_equal(ids[2:], np.argmax(logits[1:-1, 0, :], axis=1))
    alone = [model.read(params, ids[i : i + 1, None], None, xp=np)[0] for i in range(1, 13)]
    assert np.any(ids[2:] != np.argmax(np.concat(alone)[:, 0, :], axis=1))  # the state matters


def test_temperature_sharpens_and_flattens():
    logits = np.asarray([0.0, 1.0, 3.0], dtype=np.float32)
    counts = {}
    for temperature in (0, 1e-320, 0.5, 1.0, 1e6):
        generator = np.random.default_rng(0)
        draws = [draw(logits, temperature, generator) for _ in range(2000)]
        counts[temperature] = np.bincount(draws, minlength=3) / 2000
    np.testing.assert_array_equal(counts[0], [0, 0, 1])
    np.testing.assert_array_equal(counts[1e-320], [0, 0, 1])
    expected = np.exp(logits) / np.sum(np.exp(logits))
    np.testing.assert_allclose(counts[1.0], expected, atol=0.03)
    np.testing.assert_allclose(counts[1e6], [1 / 3] * 3, atol=0.04)
    assert counts[0.5][2] > counts[1.0][2]


def test_a_prompt_with_unknown_characters_is_refused_before_anything_is_written():
    model = build(Settings(hidden=6), 7)
    with pytest.raises(UserError, match=r"'z\\xe4'"):
        sample(model, model.init(0, xp=np), VOCABULARY, xp=np, prompt="abzä")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"cell": "transformer"}, "`cell` must be one of rnn, lstm, gru"),
        ({"hidden": 0}, "`hidden` must be an integer of at least 1, got 0"),
        ({"layers": 1.0}, "`layers`"),
        ({"batch": True}, "`batch`"),
        ({"chunk": -1}, "`chunk`"),
        ({"seed": -1}, "`seed`"),
        ({"learning_rate": 0.0}, "`learning_rate`"),
        ({"learning_rate": math.nan}, "`learning_rate`"),
        ({"learning_rate": "1"}, "`learning_rate`"),
    ],
)
def test_settings_that_cannot_be_trained_with_are_refused(change, match):
    with pytest.raises(ValueError, match=match):
        Settings(**change)
