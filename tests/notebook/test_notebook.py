"""The eight functions of the notebook: exact, on every library, and without its known slips.

The forward pass is compared with loops over single numbers, the backward pass with derivatives of
the forward pass by complex step on NumPy, which are exact to rounding. Sizes are pairwise
distinct, so that a transposed matrix cannot go unseen.
"""

import ast
import inspect
import itertools
import re
from contextlib import contextmanager
from functools import partial

import array_api_compat
import array_api_compat.numpy as numpy_namespace
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpbptt import notebook
from xpbptt._arrays.tree import leaves, map_leaves
from xpbptt.notebook import checks, lstm, maths, rnn

SIZES = {"n_x": 3, "n_a": 5, "n_y": 2, "m": 4, "T_x": 6}
GATES = "fico"
STEP = 1e-30
PARAMETERS = {
    "rnn": ("Wax", "Waa", "Wya", "ba", "by"),
    "lstm": ("Wf", "bf", "Wi", "bi", "Wc", "bc", "Wo", "bo", "Wy", "by"),
}
GRADIENTS = {
    "rnn": ("dWax", "dWaa", "dba"),
    "lstm": ("dWf", "dbf", "dWi", "dbi", "dWc", "dbc", "dWo", "dbo"),
}
CELL_FORWARD = {"rnn": notebook.rnn_cell_forward, "lstm": notebook.lstm_cell_forward}
CELL_BACKWARD = {"rnn": notebook.rnn_cell_backward, "lstm": notebook.lstm_cell_backward}
FORWARD = {"rnn": notebook.rnn_forward, "lstm": notebook.lstm_forward}
BACKWARD = {"rnn": notebook.rnn_backward, "lstm": notebook.lstm_backward}

both = pytest.mark.parametrize("kind", ["rnn", "lstm"])


# Drawing inputs on the host, in NumPy, and taking them to a library


def parameter_shapes(kind, n_x, n_a, n_y):
    if kind == "rnn":
        weights = {"Wax": (n_a, n_x), "Waa": (n_a, n_a), "Wya": (n_y, n_a)}
        return weights | {"ba": (n_a, 1), "by": (n_y, 1)}
    gates = {f"W{gate}": (n_a, n_a + n_x) for gate in GATES}
    return gates | {f"b{gate}": (n_a, 1) for gate in GATES} | {"Wy": (n_y, n_a), "by": (n_y, 1)}


def sequence_inputs(kind, seed=0, **sizes):
    n_x, n_a, n_y, m, T_x = (SIZES | sizes).values()
    normal = np.random.default_rng(seed).standard_normal
    shapes = parameter_shapes(kind, n_x, n_a, n_y)
    parameters = {key: normal(shape) for key, shape in shapes.items()}
    return {"x": normal((n_x, m, T_x)), "a0": normal((n_a, m)), "parameters": parameters}


def cell_inputs(kind, seed=0, **sizes):
    n_x, n_a, _, m, _ = (SIZES | sizes).values()
    normal = np.random.default_rng(seed + 1).standard_normal
    states = ("a_prev", "c_prev") if kind == "lstm" else ("a_prev",)
    inputs = {"xt": normal((n_x, m))} | {state: normal((n_a, m)) for state in states}
    return inputs | {"parameters": sequence_inputs(kind, seed, **sizes)["parameters"]}


def normal_like(tree, seed):
    random = np.random.default_rng(seed)
    return map_leaves(lambda leaf: random.standard_normal(leaf.shape), tree)


def to(xp, tree, dtype=None):
    return map_leaves(lambda leaf: xp.asarray(leaf.astype(dtype) if dtype else leaf), tree)


def assert_close(xp, got, expected, tolerance=1e-12):
    assert array_api_compat.array_namespace(got) is xp
    expected = xp.asarray(expected)
    assert got.dtype == expected.dtype
    assert tuple(got.shape) == tuple(expected.shape)
    if all(got.shape):
        scale = max(1.0, float(xp.max(xp.abs(expected))))
        assert float(xp.max(xp.abs(got - expected))) <= tolerance * scale


def assert_zero(xp, array):
    assert not bool(xp.any(array != 0))


# Derivatives of the forward pass


def derivative_of(forward, inputs, direction, upstream):
    """Return the derivative, in a direction of all inputs, of Σ upstream · outputs."""
    shifted = map_leaves(lambda leaf, v: leaf + 1j * STEP * v, inputs, direction)
    outputs = forward(**shifted)
    return sum(
        float(np.sum(d * output[..., : d.shape[-1]].imag)) / STEP
        for d, output in zip(upstream, outputs, strict=False)
    )


def assert_gradients(xp, gradients, direction, derivative):
    """Check gradients against the derivative of the loss in a direction of all inputs."""
    moved = {f"d{key}": v for key, v in (direction | direction["parameters"]).items()}
    products = [
        gradient * xp.asarray(moved[key][..., : gradient.shape[-1]])
        for key, gradient in gradients.items()
    ]
    total = sum(float(xp.sum(product)) for product in products)
    scale = 1.0 + sum(float(xp.sum(xp.abs(product))) for product in products)
    assert abs(total - derivative) <= 1e-12 * scale


def only(direction, *keys):
    """Return a direction in which only these inputs and parameters change."""
    parameters = {
        key: v if key in keys else np.zeros_like(v) for key, v in direction["parameters"].items()
    }
    rest = {
        key: v if key in keys else np.zeros_like(v) for key, v in direction.items() if key[0] != "p"
    }
    return rest | {"parameters": parameters}


def check_cell(xp, kind, inputs, direction, seed=0):
    *states, _, cache = CELL_FORWARD[kind](**to(xp, inputs))
    upstream = normal_like([inputs["a_prev"]] * len(states), seed)

    gradients = CELL_BACKWARD[kind](*to(xp, upstream), cache)

    derivative = derivative_of(CELL_FORWARD[kind], inputs, direction, upstream)
    assert_gradients(xp, gradients, direction, derivative)


def check_sequence(xp, kind, inputs, direction, steps, seed=0):
    *_, caches = FORWARD[kind](**to(xp, inputs))
    da = np.random.default_rng(seed).standard_normal((*inputs["a0"].shape, steps))

    gradients = BACKWARD[kind](xp.asarray(da), caches)

    assert gradients["dx"].shape == (*inputs["x"].shape[:2], steps)
    derivative = derivative_of(FORWARD[kind], inputs, direction, [da])
    assert_gradients(xp, gradients, direction, derivative)


@both
@pytest.mark.parametrize("seed", [0, 1])
def test_cell_gradients_of_all_inputs(xp, kind, seed):
    inputs = cell_inputs(kind, seed)

    check_cell(xp, kind, inputs, normal_like(inputs, seed + 7), seed)


@both
@pytest.mark.parametrize("steps", [6, 4, 1, 0])
def test_sequence_gradients_of_all_inputs(xp, kind, steps):
    inputs = sequence_inputs(kind)

    check_sequence(xp, kind, inputs, normal_like(inputs, 7), steps)


@both
@given(st.data())
@settings(max_examples=40)
def test_gradients_for_any_sizes(kind, data):
    size, count = st.integers(1, 4), st.integers(0, 3)
    sizes = {key: data.draw(size if key[0] == "n" else count, key) for key in SIZES}
    inputs = sequence_inputs(kind, **sizes)
    steps = data.draw(st.integers(0, sizes["T_x"]), "steps")

    check_sequence(numpy_namespace, kind, inputs, normal_like(inputs, 7), steps)
    inputs = cell_inputs(kind, **sizes)
    check_cell(numpy_namespace, kind, inputs, normal_like(inputs, 8))


@both
def test_gradients_of_each_input_alone(xp, kind):
    inputs = sequence_inputs(kind, T_x=3)
    direction = normal_like(inputs, 9)

    for key in ("x", "a0", *PARAMETERS[kind]):
        check_sequence(xp, kind, inputs, only(direction, key), steps=3)


# The forward pass, number by number


def softmax_of(W, b, a):
    logits = [b[i, 0] + sum(W[i, j] * a[j] for j in range(len(a))) for i in range(len(b))]
    total = sum(np.exp(logit) for logit in logits)
    return [np.exp(logit) / total for logit in logits]


def rnn_by_hand(x, a0, p):
    (n_x, m, T_x), (n_a, _), n_y = x.shape, a0.shape, len(p["by"])
    a, y = np.empty((n_a, m, T_x)), np.empty((n_y, m, T_x))
    for k in range(m):
        state = a0[:, k]
        for t in range(T_x):
            z = [p["ba"][i, 0] for i in range(n_a)]
            for i in range(n_a):
                z[i] += sum(p["Wax"][i, j] * x[j, k, t] for j in range(n_x))
                z[i] += sum(p["Waa"][i, j] * state[j] for j in range(n_a))
            a[:, k, t] = state = np.tanh(z)
            y[:, k, t] = softmax_of(p["Wya"], p["by"], state)
    return a, y


def lstm_by_hand(x, a0, p):
    (_, m, T_x), (n_a, _), n_y = x.shape, a0.shape, len(p["by"])
    a, y, c = np.empty((n_a, m, T_x)), np.empty((n_y, m, T_x)), np.empty((n_a, m, T_x))
    for k in range(m):
        state, memory = list(a0[:, k]), [0.0] * n_a
        for t in range(T_x):
            rows = [*state, *x[:, k, t]]
            for i in range(n_a):
                z = {
                    gate: p[f"b{gate}"][i, 0]
                    + sum(weight * row for weight, row in zip(p[f"W{gate}"][i], rows, strict=True))
                    for gate in GATES
                }
                forget, update, output = (1 / (1 + np.exp(-z[gate])) for gate in "fio")
                memory[i] = forget * memory[i] + update * np.tanh(z["c"])
                state[i] = output * np.tanh(memory[i])
            a[:, k, t], c[:, k, t] = state, memory
            y[:, k, t] = softmax_of(p["Wy"], p["by"], state)
    return a, y, c


@both
def test_forward_is_the_definition(xp, kind):
    inputs = sequence_inputs(kind)
    by_hand = {"rnn": rnn_by_hand, "lstm": lstm_by_hand}[kind](*inputs.values())

    *outputs, _ = FORWARD[kind](**to(xp, inputs))

    for output, expected in zip(outputs, by_hand, strict=True):
        assert_close(xp, output, expected)


@both
def test_sequence_is_a_chain_of_cells(xp, kind):
    x, a0, parameters = to(xp, sequence_inputs(kind)).values()
    state = (a0, xp.zeros_like(a0)) if kind == "lstm" else (a0,)

    a, y, *c, _ = FORWARD[kind](x, a0, parameters)

    for t in range(SIZES["T_x"]):
        *state, yt_pred, _ = CELL_FORWARD[kind](x[:, :, t], *state, parameters)
        for whole, step in zip((a, *c, y), (*state, yt_pred), strict=True):
            assert_close(xp, whole[:, :, t], step, tolerance=0)


@both
def test_prediction_and_gates_do_not_overflow(xp, kind):
    inputs = cell_inputs(kind)
    inputs["parameters"] = {key: 1e4 * value for key, value in inputs["parameters"].items()}

    *_, yt_pred, cache = CELL_FORWARD[kind](**to(xp, inputs))

    for _, leaf in leaves((yt_pred, cache)):
        assert bool(xp.all(xp.abs(leaf) < 1e6))  # neither NaN nor infinite
    assert_close(xp, xp.sum(yt_pred, axis=0), np.ones(SIZES["m"]))


# The notebook's own example, with the outputs printed in its later editions


def notebook_inputs(order, T_x):
    random = np.random.RandomState(1)
    shapes = {"x": (3, 10, T_x), "a0": (5, 10)} | order
    inputs = {key: random.randn(*shape) for key, shape in shapes.items()}
    return inputs.pop("x"), inputs.pop("a0"), inputs, random.randn(5, 10, 4)


def assert_printed(xp, gradients, expected):
    for key, (index, value) in expected.items():
        assert_close(xp, gradients[key][index], np.asarray(value), tolerance=6e-9)


def test_rnn_gives_the_outputs_printed_in_the_notebook(xp):
    order = {"Wax": (5, 3), "Waa": (5, 5), "Wya": (2, 5), "ba": (5, 1), "by": (2, 1)}
    x, a0, parameters, da = to(xp, notebook_inputs(order, T_x=4))

    *_, caches = notebook.rnn_forward(x, a0, parameters)

    expected = {
        "dx": ((1, 2, ...), [-2.07101689, -0.59255627, 0.02466855, 0.01483317]),
        "da0": ((2, 3), -0.314942375127),
        "dWax": ((3, 1), 11.264104496527777),
        "dWaa": ((1, 2), 2.3033331265798926),
        "dba": ((4, ...), [-0.74747722]),
    }
    assert_printed(xp, notebook.rnn_backward(da, caches), expected)


def test_lstm_gives_the_outputs_printed_in_the_notebook(xp):
    order = {
        f"{letter}{gate}": (5, 8) if letter == "W" else (5, 1) for gate in "fioc" for letter in "Wb"
    }
    x, a0, parameters, da = to(xp, notebook_inputs(order, T_x=7))
    parameters |= {"Wy": xp.zeros((2, 5), dtype=x.dtype), "by": xp.zeros((2, 1), dtype=x.dtype)}

    *_, caches = notebook.lstm_forward(x, a0, parameters)

    expected = {
        "dx": ((1, 2, ...), [0.00218254, 0.28205375, -0.48292508, -0.43281115]),
        "da0": ((2, 3), 0.312770310257),
        "dWf": ((3, 1), -0.0809802310938),
        "dWi": ((1, 2), 0.40512433093),
        "dWc": ((3, 1), -0.0793746735512),
        "dWo": ((1, 2), 0.038948775763),
        "dbf": ((4, ...), [-0.15745657]),
        "dbi": ((4, ...), [-0.50848333]),
        "dbc": ((4, ...), [-0.42510818]),
        "dbo": ((4, ...), [-0.17958196]),
    }
    assert_printed(xp, notebook.lstm_backward(da, caches), expected)


# Where this differs from the published notebook: a test for each slip


def lstm_cell(xp, *, da=True, dc=True, **changed):
    """Return an LSTM cell's gradients and what they are made of, with some inputs replaced."""
    inputs = cell_inputs("lstm")
    inputs["parameters"] |= {key: value for key, value in changed.items() if key != "c_prev"}
    inputs["c_prev"] = changed.get("c_prev", inputs["c_prev"])
    arrays = to(xp, inputs)
    *_, cache = notebook.lstm_cell_forward(**arrays)
    upstream = normal_like([inputs["a_prev"]] * 2, 5)
    da_next, dc_next = (xp.asarray(d * on) for d, on in zip(upstream, (da, dc), strict=True))
    names = ("a_next", "c_next", "a_prev", "c_prev", "ft", "it", "cct", "ot", "xt", "parameters")
    made_of = dict(zip(names, cache, strict=True)) | {"da_next": da_next, "dc_next": dc_next}
    return notebook.lstm_cell_backward(da_next, dc_next, cache), made_of


def over_batch(xp, array):
    return xp.sum(array, axis=1, keepdims=True)


def test_slip_weight_gradients_add_the_steps_not_themselves(xp):
    x, a0, parameters = to(xp, sequence_inputs("rnn")).values()
    _, _, caches = notebook.rnn_forward(x, a0, parameters)
    da = xp.asarray(np.random.default_rng(0).standard_normal((5, 4, 6)))
    da_prev = xp.zeros_like(a0)
    expected = {
        key: 0 * value for key, value in notebook.rnn_cell_backward(a0, caches[0][0]).items()
    }
    for t in reversed(range(6)):
        step = notebook.rnn_cell_backward(da[:, :, t] + da_prev, caches[0][t])
        da_prev = step["da_prev"]
        expected = {key: value + step[key] for key, value in expected.items()}

    gradients = notebook.rnn_backward(da, caches)

    for key in ("dWax", "dWaa", "dba"):
        assert_close(xp, gradients[key], expected[key])
        assert bool(xp.all(gradients[key] != 0))


def test_slip_no_gate_gradient_is_overwritten(xp):
    gradients, _ = lstm_cell(xp)

    assert tuple(gradients) == ("dxt", "da_prev", "dc_prev", *GRADIENTS["lstm"])
    for gradient in gradients.values():
        assert array_api_compat.array_namespace(gradient) is xp
        assert bool(xp.all(gradient != 0))


def test_slip_weight_gradient_of_the_candidate_is_its_own(xp):
    gradients, of = lstm_cell(xp, da=False)
    dpcct = of["dc_next"] * of["it"] * (1 - of["cct"] ** 2)

    rows = xp.concat([of["a_prev"], of["xt"]], axis=0)
    assert_close(xp, gradients["dWc"], dpcct @ rows.T)


def test_slip_bias_gradients_are_sums_of_their_own_gates(xp):
    gradients, of = lstm_cell(xp, da=False)

    dgamma_i = of["dc_next"] * of["cct"] * of["it"] * (1 - of["it"])
    dpcct = of["dc_next"] * of["it"] * (1 - of["cct"] ** 2)
    assert_close(xp, gradients["dbi"], over_batch(xp, dgamma_i))
    assert_close(xp, gradients["dbc"], over_batch(xp, dpcct))


def test_slip_dxt_takes_the_columns_of_xt(xp):
    inputs = cell_inputs("lstm")
    check_cell(xp, "lstm", inputs, only(normal_like(inputs, 3), "xt"))

    n_a = SIZES["n_a"]
    parameters = inputs["parameters"]
    blind = {f"W{gate}": parameters[f"W{gate}"].copy() for gate in GATES}
    for weight in blind.values():
        weight[:, n_a:] = 0.0
    gradients, _ = lstm_cell(xp, **blind)
    assert_zero(xp, gradients["dxt"])


def last_step_only(xp, inputs):
    """Return the LSTM's gradients of a loss that looks at the last step only."""
    da = np.zeros((SIZES["n_a"], SIZES["m"], SIZES["T_x"]))
    da[:, :, -1] = np.random.default_rng(4).standard_normal(da.shape[:2])
    *_, caches = notebook.lstm_forward(**to(xp, inputs))
    gradients = notebook.lstm_backward(xp.asarray(da), caches)
    direction = only(normal_like(inputs, 6), "x", "a0")
    derivative = derivative_of(notebook.lstm_forward, inputs, direction, [da])
    assert_gradients(xp, {key: gradients[key] for key in ("dx", "da0")}, direction, derivative)
    return gradients


def test_slip_da_prev_is_carried_back(xp):
    inputs = sequence_inputs("lstm")
    inputs["parameters"]["bf"] -= 60.0  # what is in the memory is forgotten: no way back through c

    gradients = last_step_only(xp, inputs)

    assert bool(xp.all(gradients["dx"][:, :, 0] != 0))


def test_slip_dc_prev_is_carried_back(xp):
    inputs = sequence_inputs("lstm")
    for gate in GATES:
        inputs["parameters"][f"W{gate}"][:, : SIZES["n_a"]] = 0.0  # no way back through a

    gradients = last_step_only(xp, inputs)

    assert bool(xp.all(gradients["dx"][:, :, 0] != 0))


def test_slip_equation_8_brackets_both_terms(xp):
    gradients, of = lstm_cell(xp, da=False)

    dpcct = of["dc_next"] * of["it"] * (1 - of["cct"] ** 2)
    assert_close(xp, gradients["dbc"], over_batch(xp, dpcct))


def test_slip_equation_8_has_no_factor_c_tilde(xp):
    zero = {
        "Wc": np.zeros((5, 8)),
        "bc": np.zeros((5, 1)),
    }  # c̃ is 0, and what it multiplies would be

    gradients, of = lstm_cell(xp, dc=False, **zero)

    dpcct = of["da_next"] * of["ot"] * (1 - xp.tanh(of["c_next"]) ** 2) * of["it"]
    assert_close(xp, gradients["dbc"], over_batch(xp, dpcct))


def test_slip_equation_8_takes_no_second_tanh(xp):
    saturated = {"bc": np.full((5, 1), 60.0)}  # c̃ is 1 and flat there, but 1 - tanh(1)² is 0.42

    gradients, of = lstm_cell(xp, **saturated)

    assert_close(xp, of["cct"], np.ones((5, 4)))
    assert_zero(xp, gradients["dbc"])


def test_slip_equation_9_brackets_both_terms(xp):
    gradients, of = lstm_cell(xp, da=False)

    dgamma_i = of["dc_next"] * of["cct"] * of["it"] * (1 - of["it"])
    assert_close(xp, gradients["dbi"], over_batch(xp, dgamma_i))


def test_slip_equation_10_brackets_both_terms(xp):
    gradients, of = lstm_cell(xp, da=False)

    dgamma_f = of["dc_next"] * of["c_prev"] * of["ft"] * (1 - of["ft"])
    assert_close(xp, gradients["dbf"], over_batch(xp, dgamma_f))


def test_slip_equation_10_multiplies_c_prev(xp):
    gradients, of = lstm_cell(xp, c_prev=np.zeros((5, 4)))

    assert bool(xp.all(of["cct"] != 0))
    assert_zero(xp, gradients["dbf"])
    assert_zero(xp, gradients["dWf"])


@both
def test_gradients_sum_over_the_examples(xp, kind):
    x, a0, parameters = sequence_inputs(kind).values()
    da = np.random.default_rng(0).standard_normal((5, 4, 6))
    alone = []
    for k in range(SIZES["m"]):
        one = slice(k, k + 1)
        *_, caches = FORWARD[kind](*to(xp, (x[:, one], a0[:, one], parameters)))
        alone.append(BACKWARD[kind](xp.asarray(da[:, one]), caches))

    *_, caches = FORWARD[kind](*to(xp, (x, a0, parameters)))
    together = BACKWARD[kind](xp.asarray(da), caches)

    for key in GRADIENTS[kind]:
        assert_close(xp, together[key], sum(gradients[key] for gradients in alone))


@both
def test_shorter_da_is_a_loss_on_the_first_steps(xp, kind):
    *_, caches = FORWARD[kind](**to(xp, sequence_inputs(kind)))
    da = np.random.default_rng(0).standard_normal((5, 4, 6))
    da[:, :, 4:] = 0.0

    whole = BACKWARD[kind](xp.asarray(da), caches)
    short = BACKWARD[kind](xp.asarray(da[:, :, :4]), caches)

    assert_zero(xp, whole["dx"][:, :, 4:])
    whole["dx"] = whole["dx"][:, :, :4]
    for key, gradient in whole.items():
        assert_close(xp, short[key], gradient, tolerance=0)


# Caches, keys, dtypes, inputs, empty sizes


@both
def test_cache_of_a_cell(xp, kind):
    arrays = to(xp, cell_inputs(kind))

    a_next, *c_next, _, cache = CELL_FORWARD[kind](**arrays)

    *inputs, parameters = arrays.values()
    xt, *states = inputs
    assert type(cache) is tuple
    assert cache[-1] is parameters
    assert cache[-2] is xt
    expected = (a_next, *c_next, *states)
    assert all(got is wanted for got, wanted in zip(cache, expected, strict=False))
    assert len(cache) == {"rnn": 4, "lstm": 10}[kind]


def test_gates_in_the_cache_of_the_lstm(xp):
    _, of = lstm_cell(xp)

    assert_close(xp, of["c_next"], of["ft"] * of["c_prev"] + of["it"] * of["cct"])
    assert_close(xp, of["a_next"], of["ot"] * xp.tanh(of["c_next"]))
    for gate, key in zip(("ft", "it", "cct", "ot"), GATES, strict=True):
        shut = {f"W{key}": np.zeros((5, 8)), f"b{key}": np.full((5, 1), -60.0)}
        _, of = lstm_cell(xp, **shut)
        assert_close(xp, of[gate], np.full((5, 4), -1.0 if key == "c" else 0.0))


@both
def test_caches_of_a_sequence(xp, kind):
    arrays = to(xp, sequence_inputs(kind))

    a, *_, caches = FORWARD[kind](**arrays)

    steps, x = caches
    assert type(caches) is tuple
    assert type(steps) is list
    assert x is arrays["x"]
    assert len(steps) == SIZES["T_x"]
    for t, cache in enumerate(steps):
        assert_close(xp, cache[0], a[:, :, t], tolerance=0)
        assert_close(xp, cache[-2], x[:, :, t], tolerance=0)
        assert cache[-1] is arrays["parameters"]


@both
def test_gradient_keys_and_shapes(xp, kind):
    arrays, cell = to(xp, (sequence_inputs(kind), cell_inputs(kind)))
    *_, caches = FORWARD[kind](**arrays)
    *states, _, cache = CELL_FORWARD[kind](**cell)

    whole = BACKWARD[kind](xp.zeros((5, 4, 6), dtype=xp.float64), caches)
    step = CELL_BACKWARD[kind](*states, cache)

    assert tuple(whole) == ("dx", "da0", *GRADIENTS[kind])
    previous = ("da_prev", "dc_prev")[: len(states)]
    assert tuple(step) == ("dxt", *previous, *GRADIENTS[kind])
    for gradients, inputs in ((whole, arrays), (step, cell)):
        inputs = inputs | inputs["parameters"]  # noqa: PLW2901  flat
        for key, gradient in gradients.items():
            assert gradient.shape == inputs[key.removeprefix("d")].shape


@both
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_and_library_are_kept(xp, kind, dtype):
    arrays = to(xp, sequence_inputs(kind), dtype)

    a, *outputs, caches = FORWARD[kind](**arrays)
    results = a, outputs, caches, BACKWARD[kind](a, caches)

    for _, leaf in leaves(results):
        assert array_api_compat.array_namespace(leaf) is xp
        assert leaf.dtype == getattr(xp, dtype)


@both
def test_inputs_are_not_modified(xp, kind):
    host, cell_host = sequence_inputs(kind), cell_inputs(kind)
    da_host = np.random.default_rng(0).standard_normal((5, 4, 6))
    arrays, cell, da = to(xp, (host, cell_host, da_host))

    *_, caches = FORWARD[kind](**arrays)
    kept = map_leaves(lambda leaf: leaf + 0, caches)
    BACKWARD[kind](da, caches)
    *states, _, cache = CELL_FORWARD[kind](**cell)
    kept_cell = map_leaves(lambda leaf: leaf + 0, (states, cache))
    CELL_BACKWARD[kind](*states, cache)

    now = (arrays, cell, da, caches, (states, cache))
    before = (*to(xp, (host, cell_host, da_host)), kept, kept_cell)
    for (_, leaf), (_, expected) in zip(leaves(now), leaves(before), strict=True):
        assert_close(xp, leaf, expected, tolerance=0)


@both
@pytest.mark.parametrize("sizes", [{"T_x": 0}, {"m": 0}, {"m": 0, "T_x": 0}])
def test_no_steps_or_no_examples(xp, kind, sizes):
    arrays = to(xp, sequence_inputs(kind, **sizes))

    a, y, *c, caches = FORWARD[kind](**arrays)
    gradients = BACKWARD[kind](a, caches)

    _, m, T_x = arrays["x"].shape
    assert [out.shape for out in (a, y, *c)] == [(n, m, T_x) for n in (5, 2, 5)][: 2 + len(c)]
    assert gradients["dx"].shape == (3, m, T_x)
    assert gradients["da0"].shape == (5, m)
    for key in GRADIENTS[kind]:
        assert gradients[key].shape == arrays["parameters"][key.removeprefix("d")].shape
    for _, leaf in leaves((a, y, c, gradients)):
        assert leaf.dtype == xp.float64
        assert_zero(xp, leaf)


@both
def test_no_two_results_share_memory_even_where_there_are_no_steps(kind):
    *outputs, caches = FORWARD[kind](**sequence_inputs(kind, T_x=0))
    arrays = [*outputs, *BACKWARD[kind](outputs[0], caches).values()]
    for a, b in itertools.combinations(arrays, 2):
        assert not np.may_share_memory(a, b)


@both
def test_cell_without_examples(xp, kind):
    *states, yt_pred, cache = CELL_FORWARD[kind](**to(xp, cell_inputs(kind, m=0)))
    gradients = CELL_BACKWARD[kind](*states, cache)

    assert yt_pred.shape == (2, 0)
    assert gradients["dxt"].shape == (3, 0)
    for key in GRADIENTS[kind]:
        assert_zero(xp, gradients[key])


@pytest.mark.parametrize("module", [notebook, checks, lstm, maths, rnn], ids=lambda m: m.__name__)
def test_imports_nothing_of_the_fast_nets(module):
    tree = ast.parse(inspect.getsource(module))
    imported = {
        f"{node.module}.{alias.name}" if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }

    ours = {name for name in imported if name.startswith("xpbptt")}
    assert {name for name in ours if not name.startswith("xpbptt.notebook.")} <= {
        "xpbptt._arrays.check",
        "xpbptt._arrays.types.AnyArray",
        "xpbptt._arrays.types.Namespace",
    }
    assert not any(name.split(".")[0] == "numpy" for name in imported)


# Bad input


FAULTS = {
    "a list": (lambda _, array: array.tolist() if hasattr(array, "tolist") else [1.0], TypeError),
    "nothing": (lambda *_: None, TypeError),
    "integers": (lambda xp, array: xp.astype(array, xp.int64), TypeError),
    "another dtype": (lambda xp, array: xp.astype(array, xp.float32), TypeError),
    "another axis": (lambda xp, array: xp.expand_dims(array, axis=0), ValueError),
    "more rows": (lambda xp, array: xp.concat([array, array], axis=0), ValueError),
    "more columns": (lambda xp, array: xp.concat([array, array], axis=1), ValueError),
}


def good_arguments(xp, function):
    """Return arguments that a function accepts."""
    kind, *_, direction = function.split("_")
    cell = "cell" in function
    forward = to(xp, (cell_inputs if cell else sequence_inputs)(kind))
    if direction == "forward":
        return forward
    result = (CELL_FORWARD if cell else FORWARD)[kind](**forward)
    if not cell:
        return {"da": result[0], "caches": result[-1]}
    upstream = {"da_next": result[0]} | ({"dc_next": result[1]} if kind == "lstm" else {})
    return upstream | {"cache": result[-1]}


@contextmanager
def refused(error, match):
    """Expect an error before any work is done."""
    with pytest.MonkeyPatch.context() as patch:
        for kind, module in {"rnn": rnn, "lstm": lstm}.items():
            for way in ("forward", "backward"):
                core = f"_{kind}_cell_{way}"
                patch.setattr(module, core, lambda *_, **__: pytest.fail("work was done"))
        with pytest.raises(error, match=match):
            yield


def arrays_of(arguments):
    """Yield the name of each array, the array, and a function that replaces it."""

    def replace(name, new, key=None):
        if key is None:
            return arguments | {name: new}
        return arguments | {name: arguments[name] | {key: new}}

    for name, value in arguments.items():
        if name == "parameters":
            for key, array in value.items():
                yield f'parameters["{key}"]', array, partial(replace, name, key=key)
        elif name not in {"cache", "caches"}:
            yield name, value, partial(replace, name)


OTHER_DEVICE = {"array_api_strict": "device1", "array_api_compat.torch": "meta"}
FUNCTIONS = [name for name in dir(notebook) if re.match(r"(rnn|lstm)_", name)]


def test_all_eight_functions_are_tried():
    assert len(FUNCTIONS) == 8


@pytest.mark.parametrize("function", FUNCTIONS)
def test_bad_array_is_named(xp, function):
    for spoil, error in FAULTS.values():
        for name, array, replace in arrays_of(good_arguments(xp, function)):
            with refused(error, re.escape(f"`{name}`")):
                getattr(notebook, function)(**replace(spoil(xp, array)))


def test_array_of_another_library_is_named(xp):
    if xp is numpy_namespace:
        pytest.skip("the other library is NumPy: seen where the tests run on a further one")

    for function in FUNCTIONS:
        for name, array, replace in arrays_of(good_arguments(xp, function)):
            with refused(TypeError, re.escape(f"`{name}`")):
                getattr(notebook, function)(**replace(np.zeros(array.shape)))


def test_array_on_another_device_is_named(xp):
    if xp.__name__ not in OTHER_DEVICE:
        pytest.skip("seen where a CPU has a second device: array-api-strict, torch")
    device = getattr(xp, "Device", str)(OTHER_DEVICE[xp.__name__])

    for function in FUNCTIONS:
        for name, array, replace in arrays_of(good_arguments(xp, function)):
            moved = xp.zeros(array.shape, dtype=array.dtype, device=device)
            with refused(ValueError, re.escape(f"`{name}`")):
                getattr(notebook, function)(**replace(moved))


@pytest.mark.parametrize("function", [name for name in FUNCTIONS if name.endswith("forward")])
def test_wrong_parameter_keys_are_named(xp, function):
    arguments = good_arguments(xp, function)
    call, parameters = getattr(notebook, function), arguments["parameters"]

    unknown = parameters | {"Wxx": parameters["by"]}
    with refused(ValueError, r"`parameters` .*unknown keys are \['Wxx'\].*'by'"):
        call(**arguments | {"parameters": unknown})
    missing = {key: value for key, value in parameters.items() if key != "by"}
    with refused(ValueError, r"`parameters` is missing the keys \['by'\]"):
        call(**arguments | {"parameters": missing})
    with refused(TypeError, "`parameters` must be a dict of arrays, got list"):
        call(**arguments | {"parameters": list(parameters)})


@both
@pytest.mark.parametrize("size", ["n_x", "n_a", "n_y"])
def test_sizes_of_zero_are_refused(xp, kind, size):
    arrays = to(xp, sequence_inputs(kind, **{size: 0}))

    with refused(ValueError, rf"(`x`|`parameters.*`) has shape .*: {size} is at least 1"):
        FORWARD[kind](**arrays)


def test_lstm_weight_that_leaves_no_room_for_the_input(xp):
    arrays = to(xp, sequence_inputs("lstm"))
    arrays["parameters"] |= {f"W{gate}": xp.zeros((5, 4), dtype=xp.float64) for gate in GATES}

    with refused(ValueError, r'`x` has shape .* n_x is -1 in `parameters\["Wf"\]`'):
        notebook.lstm_forward(**arrays)


@both
def test_bad_cache_is_refused(xp, kind):
    other = {"rnn": "lstm", "lstm": "rnn"}[kind]
    foreign = CELL_FORWARD[other](**to(xp, cell_inputs(other)))[-1]
    sequence = FORWARD[kind](**to(xp, sequence_inputs(kind)))[-1]
    wider = xp.zeros((7, 4), dtype=xp.float64)
    arguments = good_arguments(xp, f"{kind}_cell_backward")
    *entries, xt, parameters = arguments["cache"]
    last = len(entries) + 1
    bad = [
        (foreign, ValueError, r"`cache` has \d+ entries, expected the \d+ of \(a_next, "),
        (sequence, ValueError, "`cache` has 2 entries"),
        ([*entries, xt, parameters], TypeError, "`cache` must be a tuple"),
        (None, TypeError, "`cache` must be a tuple"),
        ((None, *entries[1:], xt, parameters), TypeError, r"`cache\[0\]` must be an array"),
        ((*entries, xt, None), TypeError, rf"`cache\[{last}\]` must be a dict"),
        ((*entries, wider, parameters), ValueError, rf"`cache\[{last - 1}\]` has shape \(7, 4\)"),
    ]

    for cache, error, match in bad:
        with refused(error, match):
            CELL_BACKWARD[kind](**arguments | {"cache": cache})


@both
def test_bad_caches_are_refused(xp, kind):
    other = {"rnn": "lstm", "lstm": "rnn"}[kind]
    foreign = FORWARD[other](**to(xp, sequence_inputs(other)))[-1]
    wider = FORWARD[kind](**to(xp, sequence_inputs(kind, n_x=7)))[-1]
    arguments = good_arguments(xp, f"{kind}_backward")
    steps, x = arguments["caches"]
    pair = rf"`caches` must be the pair \(list of caches, x\) of {kind}_forward, got a "
    bad = [
        (foreign, ValueError, r"`caches\[0\]\[0\]` has \d+ entries, expected the \d+ of"),
        (steps, TypeError, pair + "list"),
        (steps[0], TypeError, pair + "tuple of"),
        (None, TypeError, pair + "NoneType"),
        ((steps, wider[1]), ValueError, r"`caches\[1\]` has shape \(7, 4, 6\)"),
        (([*steps[:5], wider[0][5]], x), ValueError, r"`caches\[0\]\[5\]\[.* has shape"),
        ((steps[:5], x), ValueError, "`caches` is a list of 5 caches, but an x of 6 steps"),
    ]

    for caches, error, match in bad:
        with refused(error, match):
            BACKWARD[kind](**arguments | {"caches": caches})


@both
def test_da_longer_than_the_caches_is_refused(xp, kind):
    arguments = good_arguments(xp, f"{kind}_backward")
    arguments["da"] = xp.zeros((5, 4, 7), dtype=xp.float64)

    with refused(ValueError, "`da` has 7 time steps, expected at most the 6 of `caches`"):
        BACKWARD[kind](**arguments)
