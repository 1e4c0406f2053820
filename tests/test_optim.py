import copy
import math
from typing import NamedTuple

import array_api_compat
import numpy as np
import pytest
from helpers import cover, host
from hypothesis import given
from hypothesis import strategies as st

from xpbptt._arrays.tree import leaves, map_leaves
from xpbptt.optim import AdamState, SgdState, adam, clip_by_global_norm, sgd

OPTIMIZERS = {
    "sgd": lambda: sgd(0.1),
    "momentum": lambda: sgd(0.1, momentum=0.9),
    "adam": lambda: adam(0.1, beta1=0.8, beta2=0.95, epsilon=1e-3),
}


class Pair(NamedTuple):
    weight: object
    bias: object


def tree(seed, xp=np, dtype="float64"):
    """Parameters of several layers: dictionaries, tuples and named tuples, an empty array too."""
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return xp.asarray(rng.normal(size=shape), dtype=getattr(xp, dtype))

    return {"lstm": (Pair(draw(2, 3), draw(3)), [draw(4), draw(0, 2)]), "readout": draw()}


def flat(a_tree):
    return [host(leaf) for _, leaf in leaves(a_tree)]


def literal_sgd(params, steps, rate, momentum):
    velocity = [0.0 * p for p in params]
    for grads in steps:
        velocity = [momentum * v + g for v, g in zip(velocity, grads, strict=True)]
        params = [p - rate * v for p, v in zip(params, velocity, strict=True)]
    return params


def literal_adam(params, steps, rate, beta1, beta2, epsilon):
    m = [0.0 * p for p in params]
    s = [0.0 * p for p in params]
    for t, grads in enumerate(steps, start=1):
        m = [beta1 * a + (1 - beta1) * g for a, g in zip(m, grads, strict=True)]
        s = [beta2 * a + (1 - beta2) * g**2 for a, g in zip(s, grads, strict=True)]
        params = [
            p - rate * (a / (1 - beta1**t)) / (np.sqrt(b / (1 - beta2**t)) + epsilon)
            for p, a, b in zip(params, m, s, strict=True)
        ]
    return params


LITERAL = {
    "sgd": lambda params, steps: literal_sgd(params, steps, 0.1, 0.0),
    "momentum": lambda params, steps: literal_sgd(params, steps, 0.1, 0.9),
    "adam": lambda params, steps: literal_adam(params, steps, 0.1, 0.8, 0.95, 1e-3),
}


def run(optimizer, xp, steps=5, dtype="float64"):
    params = tree(0, xp, dtype)
    state = optimizer.init(params)
    for seed in range(1, steps + 1):
        params, state = optimizer.update(tree(seed, xp, dtype), state, params)
    return params, state


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_are_those_of_the_formula(xp, name):
    params, _ = run(OPTIMIZERS[name](), xp)
    expected = LITERAL[name](flat(tree(0)), [flat(tree(seed)) for seed in range(1, 6)])
    for got, value in zip(flat(params), expected, strict=True):
        np.testing.assert_allclose(got, value, rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("SGD", {"lr": 0.03}),
        ("SGD", {"lr": 0.03, "momentum": 0.9}),
        ("Adam", {}),
        ("Adam", {"lr": 0.03, "betas": (0.8, 0.99), "eps": 1e-2}),
        ("Adam", {"lr": 0.03, "betas": (0.0, 0.9)}),
    ],
)
def test_torch_takes_the_same_steps(torch, name, settings):
    ours = {"SGD": sgd, "Adam": adam}[name](**translated(settings))
    params, _ = run(ours, torch, steps=20)
    theirs = [leaf.clone().requires_grad_() for _, leaf in leaves(tree(0, torch))]
    optimizer = getattr(torch.optim, name)(theirs, **settings)
    for seed in range(1, 21):
        for parameter, (_, grad) in zip(theirs, leaves(tree(seed, torch)), strict=True):
            parameter.grad = grad
        optimizer.step()
    for (_, got), expected in zip(leaves(params), theirs, strict=True):
        torch.testing.assert_close(got, expected.detach(), rtol=1e-12, atol=1e-12)


def translated(settings):
    """The settings of torch.optim under the names of xpbptt.optim."""
    names = {"lr": "learning_rate", "eps": "epsilon"}
    ours = {names.get(key, key): value for key, value in settings.items() if key != "betas"}
    betas = settings.get("betas")
    return ours | ({"beta1": betas[0], "beta2": betas[1]} if betas else {})


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_trees_come_out_as_they_went_in(xp, name, dtype):
    params, state = run(OPTIMIZERS[name](), xp, steps=2, dtype=dtype)
    moments = [moment for moment in state if isinstance(moment, dict)]
    assert len(moments) == {"sgd": 0, "momentum": 1, "adam": 2}[name]
    like = dict(leaves(tree(0, xp, dtype)))
    for result in (params, *moments):
        assert isinstance(result["lstm"][0], Pair)
        assert isinstance(result["lstm"][1], list)
        for path, leaf in leaves(result):
            assert type(leaf) is type(like[path])  # also a leaf of no axes stays an array
            assert leaf.dtype == getattr(xp, dtype)
            assert leaf.shape == like[path].shape
            assert array_api_compat.device(leaf) == array_api_compat.device(like[path])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_nothing_is_modified_and_a_step_can_be_taken_again(xp, name):
    optimizer = OPTIMIZERS[name]()
    params, state = run(optimizer, xp, steps=2)
    grads = tree(9, xp)
    kept = [flat(copy.deepcopy(map_leaves(host, part))) for part in (params, grads, state[-1])]
    first = optimizer.update(grads, state, params)
    second = optimizer.update(grads, state, params)
    for part, before in zip((params, grads, state[-1]), kept, strict=True):
        for got, expected in zip(flat(part), before, strict=True):
            np.testing.assert_array_equal(got, expected)
    for got, expected in zip(flat(first), flat(second), strict=True):
        np.testing.assert_array_equal(got, expected)
    assert np.any(flat(first[0])[0] != flat(params)[0])


def test_the_step_count_of_adam_is_an_int_on_the_host(xp):
    _, state = run(adam(), xp, steps=3)
    assert type(state.step) is int
    assert state.step == 3


def test_one_parameter_alone_is_a_tree(xp):
    params = xp.asarray([1.0, 2.0])
    optimizer = sgd(0.5)
    params, _ = optimizer.update(xp.asarray([2.0, 4.0]), optimizer.init(params), params)
    np.testing.assert_array_equal(host(params), [0.0, 0.0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("factor", [0.5, 0.999, 1.001, 20.0])
def test_clipping_scales_everything_to_the_norm(xp, dtype, factor):
    grads = tree(0, xp, dtype)
    exact = math.sqrt(sum(float(np.sum(leaf**2)) for leaf in flat(tree(0))))
    clipped, norm = clip_by_global_norm(grads, exact * factor)
    rtol = 1e-6 if dtype == "float32" else 1e-14
    assert float(norm) == pytest.approx(exact, rel=rtol)
    assert type(norm) is type(grads["readout"])
    assert norm.dtype == getattr(xp, dtype)
    assert norm.shape == ()
    for (_, got), (_, before) in zip(leaves(clipped), leaves(grads), strict=True):
        assert type(got) is type(before)
        assert got.dtype == before.dtype
        if factor > 1:
            np.testing.assert_array_equal(host(got), host(before))  # not a bit changes
        else:
            np.testing.assert_allclose(host(got), host(before) * factor, rtol=rtol)


def test_a_gradient_of_zero_or_of_nothing_is_left_alone(xp):
    for grads in ({"w": xp.zeros((2, 3)), "b": xp.zeros((0,))}, (xp.zeros((0, 2)),)):
        clipped, norm = clip_by_global_norm(grads, 1.0)
        assert float(norm) == 0.0
        for got, before in zip(flat(clipped), flat(grads), strict=True):
            np.testing.assert_array_equal(got, before)


@pytest.mark.parametrize("size", [1e30, 1e-30])
def test_clipping_neither_overflows_nor_underflows(xp, size):
    grads = (xp.asarray([3.0 * size], dtype=xp.float32), xp.asarray([4.0 * size], dtype=xp.float32))
    clipped, norm = clip_by_global_norm(grads, size)
    assert float(norm) == pytest.approx(5 * size, rel=1e-6)
    np.testing.assert_allclose(flat(clipped), [[0.6 * size], [0.8 * size]], rtol=1e-5)


def test_clipping_in_half_precision_over_more_elements_than_it_can_count(xp, half):
    grads = (half(np.ones(70_000)), half(np.full((100, 100), -1.0)))
    clipped, norm = clip_by_global_norm(grads, 100.0)
    assert norm.dtype == clipped[0].dtype == xp.float16
    assert float(norm) == pytest.approx(math.sqrt(80_000), rel=1e-3)
    np.testing.assert_allclose(host(clipped[1]), -100 / math.sqrt(80_000), rtol=1e-3)


@given(st.lists(st.lists(st.integers(0, 3), max_size=3), min_size=1, max_size=4), st.integers(0, 9))
def test_the_clipped_norm_is_at_most_the_limit(shapes, seed):
    rng = np.random.default_rng(seed)
    grads = [np.asarray(rng.normal(size=shape)) for shape in shapes]
    clipped, norm = clip_by_global_norm(grads, 0.3)
    total = math.sqrt(sum(float(np.sum(leaf**2)) for leaf in clipped))
    assert total <= 0.3 * (1 + 1e-12)
    assert total == pytest.approx(min(float(norm), 0.3), rel=1e-12)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_compiles_as_a_whole_and_is_that_of_the_formula(jax, name):
    optimizer = OPTIMIZERS[name]()
    update = jax.jit(optimizer.update)
    params = tree(0, jax.numpy)
    state = optimizer.init(params)
    for seed in range(1, 6):
        params, state = update(tree(seed, jax.numpy), state, params)
    expected = LITERAL[name](flat(tree(0)), [flat(tree(seed)) for seed in range(1, 6)])
    for got, value in zip(flat(params), expected, strict=True):
        np.testing.assert_allclose(got, value, rtol=1e-12)


def test_the_step_count_of_adam_may_be_an_array(xp):
    optimizer = adam(beta1=0.0)
    params, state = run(optimizer, xp, steps=3, dtype="float32")
    grads = tree(4, xp, "float32")
    expected, after = optimizer.update(grads, state, params)
    counted = state._replace(step=xp.asarray(3, dtype=xp.int32))
    got, counted = optimizer.update(grads, counted, params)
    assert int(counted.step) == after.step == 4
    for a, b in zip(flat(got), flat(expected), strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize("step", [-1, 1.5, None, "3"])
def test_a_step_count_that_is_none_is_refused(step):
    params = np.ones(2)
    with pytest.raises((TypeError, ValueError), match=r"`state\.step` must be"):
        adam().update(params, adam().init(params)._replace(step=step), params)


def test_a_step_count_of_another_kind_is_refused(xp):
    params = xp.ones(2)
    for step, error in ((xp.ones(()), TypeError), (xp.ones(1, dtype=xp.int32), ValueError)):
        with pytest.raises(error, match=r"`state\.step`"):
            adam().update(params, adam().init(params)._replace(step=step), params)


@pytest.mark.parametrize("size", [1.0, 1e-4, 0.0])
def test_adam_in_half_precision_takes_the_steps_of_single(xp, half, size):
    """The squares of small gradients and the epsilon are zero in float16, their quotient NaN."""
    optimizer, weights = adam(0.1), half([1.0, -2.0, 0.5])
    params, single = weights, xp.astype(weights, xp.float32)
    state, state_of_single = optimizer.init(params), optimizer.init(single)
    for k in (1, -2, 3):
        grads = half([k * size, size, 0.0])
        params, state = optimizer.update(grads, state, params)
        single, state_of_single = optimizer.update(
            xp.astype(grads, xp.float32), state_of_single, single
        )
    assert params.dtype == xp.float16
    assert state.mean.dtype == state.square.dtype == xp.float32
    np.testing.assert_allclose(host(params), host(single), rtol=2e-3)


def test_moments_in_half_precision_are_refused(half):
    params = half([1.0])
    state = AdamState(0, half([0.0]), half([0.0]))
    with pytest.raises(TypeError, match=r"`state\.mean` has dtype.*float16.*float32"):
        adam().update(params, state, params)


@cover(
    ("trees", "name"),
    [
        ({0: np.ones(2)}, [np.ones(2)]),
        ([np.ones(2)], {0: np.ones(2)}),
        ({"w": {0: np.ones(2)}}, {"w": (np.ones(2),)}),
        ({"w": np.ones(2), "frozen": None}, {"w": np.ones(2)}),
        ({"w": np.ones(2), "frozen": None}, {"w": np.ones(2), "frozen": ()}),
        ({"w": np.ones(2)}, {"w": np.ones(2), "frozen": {}}),
        ((np.ones(2), ()), (np.ones(2),)),
    ],
    list(OPTIMIZERS),
    strength=1,
)
def test_trees_of_another_kind_are_refused(name, trees):
    params, grads = trees
    optimizer = OPTIMIZERS[name]()
    with pytest.raises(ValueError, match=r"`grads.*must be a tree like `params"):
        optimizer.update(grads, optimizer.init(params), params)
    after, _ = optimizer.update(params, optimizer.init(params), params)
    assert type(after) is type(params)


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: sgd(-0.1), ValueError, "`learning_rate`.*at least 0, got -0.1"),
        (lambda: sgd(math.nan), ValueError, "`learning_rate`.*finite"),
        (lambda: sgd(math.inf), ValueError, "`learning_rate`.*finite"),
        (lambda: sgd("0.1"), TypeError, "`learning_rate` must be a number, got str"),
        (lambda: sgd(True), TypeError, "`learning_rate` must be a number, got bool"),  # noqa: FBT003
        (lambda: sgd(np.ones(1)), TypeError, "`learning_rate` must be a number, got ndarray"),
        (lambda: sgd(0.1, 1.0), ValueError, "`momentum`.*below 1, got 1.0"),
        (lambda: sgd(0.1, -0.5), ValueError, "`momentum`"),
        (lambda: adam(-1e-3), ValueError, "`learning_rate`"),
        (lambda: adam(beta1=1.0), ValueError, "`beta1`"),
        (lambda: adam(beta2=-0.1), ValueError, "`beta2`"),
        (lambda: adam(epsilon=-1e-8), ValueError, "`epsilon`"),
        (lambda: adam(epsilon=None), TypeError, "`epsilon` must be a number, got NoneType"),
        (lambda: clip_by_global_norm(np.ones(2), 0.0), ValueError, "`max_norm`.*above 0"),
        (lambda: clip_by_global_norm(np.ones(2), -1.0), ValueError, "`max_norm`"),
        (lambda: clip_by_global_norm(np.ones(2), math.inf), ValueError, "`max_norm`"),
        (lambda: clip_by_global_norm((), 1.0), ValueError, "`grads` holds no arrays"),
        (lambda: clip_by_global_norm([1.0], 1.0), TypeError, r"`grads\[0\]` must be an array"),
    ],
)
def test_bad_settings_are_refused(make, error, match):
    with pytest.raises(error, match=match):
        make()


def test_a_number_of_numpy_promotes_nothing(xp):
    optimizer = sgd(np.float64(0.5), momentum=np.float64(0.5))
    params, state = run(optimizer, xp, steps=1, dtype="float32")
    assert params["readout"].dtype == state.velocity["readout"].dtype == xp.float32
    clipped, _ = clip_by_global_norm(params, np.float64(0.5))
    assert clipped["readout"].dtype == xp.float32


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_trees_that_do_not_match_are_refused(xp, name):
    optimizer = OPTIMIZERS[name]()
    params, grads = tree(0, xp), tree(1, xp)
    state = optimizer.init(params)
    single = tree(1, xp, "float32")
    wrong_shape = {**grads, "readout": xp.ones(2, dtype=xp.float64)}
    cases = [
        ((grads["lstm"], state, params), ValueError, "`grads` must be a tree like `params`"),
        (({**grads, "more": xp.ones(())}, state, params), (ValueError, TypeError), "`grads"),
        ((wrong_shape, state, params), ValueError, r"`grads\['readout'\]` has shape \(2,\)"),
        ((single, state, params), TypeError, "`grads.* has dtype"),
        (({**grads, "readout": 1.0}, state, params), TypeError, r"`grads\['readout'\]` must be"),
        ((grads, None, params), TypeError, "`state` must be the"),
        ((grads, state, ()), ValueError, "`params` holds no arrays"),
    ]
    for arguments, error, match in cases:
        with pytest.raises(error, match=match):
            pytest.fail(f"taken, with the result {optimizer.update(*arguments)}")
    with pytest.raises(ValueError, match="`params` holds no arrays"):
        optimizer.init({})


def test_the_state_of_another_optimiser_is_refused():
    params, grads = np.ones(2), np.ones(2)
    plain, heavy, adaptive = sgd(0.1), sgd(0.1, momentum=0.9), adam()
    foreign = AdamState(0, np.ones(3), np.ones(3))
    cases = [
        (plain, adaptive.init(params), TypeError, "`state` must be the SgdState"),
        (adaptive, plain.init(params), TypeError, "`state` must be the AdamState"),
        (plain, heavy.init(params), ValueError, "`state` is one with momentum"),
        (heavy, plain.init(params), ValueError, "`state` is one without momentum"),
        (heavy, SgdState({"w": np.ones(2)}), ValueError, "`state.velocity` must be a tree like"),
        (adaptive, foreign, ValueError, r"`state.mean` has shape \(3,\)"),
    ]
    for optimizer, state, error, match in cases:
        with pytest.raises(error, match=match):
            optimizer.update(grads, state, params)


def test_training_reaches_the_minimum():
    for optimizer in (sgd(0.1), sgd(0.05, momentum=0.8), adam(0.1)):
        params = {"w": np.asarray([3.0, -2.0])}
        state = optimizer.init(params)
        for _ in range(300):
            params, state = optimizer.update({"w": 2 * (params["w"] - 1)}, state, params)
        np.testing.assert_allclose(params["w"], [1.0, 1.0], atol=1e-3)
