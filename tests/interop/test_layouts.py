"""Weights of other libraries, whose equations are written out here as those libraries state them.

Nothing of them is imported: that the equations are right for Keras is shown in test_keras.py, by
Keras itself.
"""

import numpy as np
import pytest

import xpbptt
from xpbptt.interop import chainer, dlfs2, keras
from xpbptt.interop.layout import Layout, read, write

T, B, I, H = 6, 4, 3, 5
CELLS = {
    "rnn": xpbptt.RNN,
    "lstm": xpbptt.LSTM,
    "gru": xpbptt.GRU,
    "gru-before": lambda *sizes, **options: xpbptt.GRU(*sizes, reset_after=False, **options),
}
LIBRARIES = {
    "keras": (keras.from_weights, keras.to_weights, CELLS),
    "chainer": (chainer.from_npz, chainer.to_npz, ["rnn", "lstm", "gru"]),
    "dlfs2": (dlfs2.from_params, dlfs2.to_params, ["rnn", "lstm", "gru-before"]),
}
BOTH = [(name, cell) for name, (_, _, cells) in LIBRARIES.items() for cell in cells]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def run(step, state):
    """Return the outputs of an equation of a library over a sequence."""
    outputs = []
    for x in normal(T, B, I):
        state = step(x, *state)
        outputs.append(state[0])
    return np.stack(outputs)


def zeros(count):
    return [np.zeros((B, H))] * count


def assert_same(net, params, expected):
    y, _ = net.infer(params, normal(T, B, I))
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-13)


# chainer/functions/rnn/n_step_lstm.py, n_step_gru.py and n_step_rnn.py, docstrings


def n_step(count):
    widths = [I] * (count // 2) + [H] * (count // 2)
    w = [normal(H, width, seed=j) for j, width in enumerate(widths)]
    b = [normal(H, seed=20 + j) for j in range(count)]
    arrays = {f"0/w{j}": array for j, array in enumerate(w)}
    return w, b, arrays | {f"0/b{j}": array for j, array in enumerate(b)}


def test_chainer_n_step_lstm():
    w, b, arrays = n_step(8)

    def step(x, h, c):
        a = [x @ w[j].T + h @ w[j + 4].T + b[j] + b[j + 4] for j in range(4)]
        c = sigmoid(a[1]) * c + sigmoid(a[0]) * np.tanh(a[3])
        return sigmoid(a[2]) * np.tanh(c), c

    net = xpbptt.LSTM(I, H)
    assert_same(net, chainer.from_npz(arrays, net), run(step, zeros(2)))


def test_chainer_n_step_gru():
    w, b, arrays = n_step(6)

    def step(x, h):
        r = sigmoid(x @ w[0].T + h @ w[3].T + b[0] + b[3])
        z = sigmoid(x @ w[1].T + h @ w[4].T + b[1] + b[4])
        n = np.tanh(x @ w[2].T + b[2] + r * (h @ w[5].T + b[5]))
        return ((1 - z) * n + z * h,)

    net = xpbptt.GRU(I, H)
    arrays = {f"encoder/{name}": array for name, array in arrays.items()} | {"decoder/W": w[0]}
    assert_same(net, chainer.from_npz(arrays, net, prefix="encoder/"), run(step, zeros(1)))


def test_chainer_n_step_rnn_with_relu():
    w, b, arrays = n_step(2)
    step = lambda x, h: (np.maximum(x @ w[0].T + h @ w[1].T + b[0] + b[1], 0),)  # noqa: E731
    net = xpbptt.RNN(I, H, nonlinearity="relu")
    assert_same(net, chainer.from_npz(arrays, net), run(step, zeros(1)))


def test_chainer_lstm():
    """In chainer/links/rnn/lstm.py and `_extract_gates` of chainer/functions/rnn/lstm.py."""
    upward, bias, lateral = normal(4 * H, I), normal(4 * H), normal(4 * H, H)

    def step(x, h, c):
        gates = (x @ upward.T + bias + h @ lateral.T).reshape(B, H, 4)
        a, i, f, o = (gates[:, :, k] for k in range(4))
        c = np.tanh(a) * sigmoid(i) + sigmoid(f) * c
        return sigmoid(o) * np.tanh(c), c

    net = xpbptt.LSTM(I, H)
    arrays = {"upward/W": upward, "upward/b": bias, "lateral/W": lateral}
    params = chainer.from_npz(arrays, net)
    assert_same(net, params, run(step, zeros(2)))
    back = chainer.to_npz(params, net, link="single")
    assert back.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)


def test_chainer_stateful_gru():
    """In chainer/links/rnn/gru.py: h' = linear_interpolate(z, h_bar, h) = z h_bar + (1 - z) h."""
    names = {"W_r": I, "W_z": I, "W": I, "U_r": H, "U_z": H, "U": H}
    arrays = {f"{name}/W": normal(H, size, seed=len(name)) for name, size in names.items()}
    arrays |= {f"{name}/b": normal(H, seed=k) for k, name in enumerate(names)}
    linear = lambda name, x: x @ arrays[f"{name}/W"].T + arrays[f"{name}/b"]  # noqa: E731

    def step(x, h):
        r = sigmoid(linear("W_r", x) + linear("U_r", h))
        z = sigmoid(linear("W_z", x) + linear("U_z", h))
        h_bar = np.tanh(linear("W", x) + linear("U", r * h))
        return (z * h_bar + (1 - z) * h,)

    net = xpbptt.GRU(I, H, reset_after=False)
    params = chainer.from_npz(arrays, net)
    assert_same(net, params, run(step, zeros(1)))
    back = chainer.to_npz(params, net)
    assert back.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)


def blocks(array, count):
    return [array[..., k * H : (k + 1) * H] for k in range(count)]


def test_deep_learning_from_scratch_2():
    """In common/time_layers.py of the code of the book: RNN, LSTM and GRU."""

    def rnn(x, h, wx, wh, b):
        return (np.tanh(h @ wh + x @ wx + b),)

    def lstm(x, h, c, wx, wh, b):
        f, g, i, o = blocks(x @ wx + h @ wh + b, 4)
        c = sigmoid(f) * c + np.tanh(g) * sigmoid(i)
        return sigmoid(o) * np.tanh(c), c

    def gru(x, h, wx, wh, b):
        (xz, xr, xh), (hz, hr, hh), (bz, br, bh) = (blocks(array, 3) for array in (wx, wh, b))
        z = sigmoid(x @ xz + h @ hz + bz)
        r = sigmoid(x @ xr + h @ hr + br)
        h_hat = np.tanh(x @ xh + (r * h) @ hh + bh)
        return ((1 - z) * h + z * h_hat,)

    for make, step, gates, states in (
        (CELLS["rnn"], rnn, 1, 1),
        (CELLS["lstm"], lstm, 4, 2),
        (CELLS["gru-before"], gru, 3, 1),
    ):
        params = [normal(I, gates * H), normal(H, gates * H), normal(gates * H)]
        net = make(I, H)
        expected = run(
            lambda *given, step=step, params=params: step(*given, *params), zeros(states)
        )
        ours = dlfs2.from_params(params, net)
        assert_same(net, ours, expected)
        for one, other in zip(dlfs2.to_params(ours, net), params, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("library", "cell"), BOTH)
@pytest.mark.parametrize(("layers", "both"), [(1, False), (2, True)])
def test_there_and_back(xp, library, cell, layers, both, normal):
    """The outputs and, but for a bias that is a sum, the arrays; nothing shares memory."""
    if (library, cell) == ("chainer", "gru-before"):
        pytest.skip("one layer in one direction")
    there, back, _ = LIBRARIES[library]
    net = CELLS[cell](I, H, layers, bidirectional=both)
    params = net.init(3, xp=xp, dtype=xp.float64)
    same = there(back(params, net), net, xp=xp)
    x = normal(T, B, I)
    expected, actual = net.infer(params, x)[0], net.infer(same, x)[0]
    assert float(xp.max(xp.abs(expected - actual))) < 1e-13
    again = there(back(same, net), net, xp=xp)
    assert all(xp.all(a == b) for a, b in zip(flat(again), flat(same), strict=True))
    assert all(type(a) is type(x) and a.dtype == x.dtype for a in flat(again))


def flat(tree):
    return [leaf for each in tree for leaf in flat(each)] if isinstance(tree, tuple) else [tree]


def test_arrays_for_others_are_contiguous():
    net = xpbptt.LSTM(I, H)
    weights = keras.to_weights(net.init(0), net)
    assert [array.shape for array in weights] == [(I, 4 * H), (H, 4 * H), (4 * H,)]
    assert all(array.flags.c_contiguous for array in weights)
    params = keras.from_weights(weights, net)
    assert all(array.flags.c_contiguous for array in params[0][:4])
    weights[0][...] = 0
    assert params[0].weight_ih.all()


def test_without_biases():
    net = xpbptt.LSTM(I, H, 2)
    weights = keras.to_weights(net.init(0), net)
    params = keras.from_weights([weights[k] for k in (0, 1, 3, 4)], net)
    assert not params[1].bias_ih.any()
    assert params[1].bias_hh.shape == (4 * H,)
    assert len(keras.to_weights(params, net, use_bias=False)) == 4
    with pytest.raises(ValueError, match=r"`bias_ih` that is not zero, but .* has no bias"):
        keras.to_weights(net.init(0), net, use_bias=False)


def test_two_biases_that_do_not_add_up_are_refused():
    """The bias of the state in a GRU with the reset after the product is multiplied by the gate."""
    layout = Layout("mine", ("w", "u", "b"), gates=("z", "r", "n"))
    net = xpbptt.GRU(I, H)
    with pytest.raises(ValueError, match=r"`bias_hh` that is not zero, but .* has one bias.* GRU"):
        write(net.init(0), net, layout)


def lstm_of(*sizes):
    net = xpbptt.LSTM(*sizes)
    return keras.to_weights(net.init(0), net)


@pytest.mark.parametrize(
    ("weights", "net", "text"),
    [
        (lstm_of(I, H), xpbptt.GRU(I, H), r"`weights\[0\]` has shape \(3, 20\).*4 gates .* has 3"),
        (lstm_of(I, 7), xpbptt.LSTM(I, H), r"has shape \(3, 28\), .* = \(3, 20\)"),
        (lstm_of(I, H)[:1], xpbptt.LSTM(I, H), "has 1 arrays, expected 3 for each layer"),
        (lstm_of(I, H), xpbptt.LSTM(I, H, 2), "has 3 arrays, .* 6, or without biases 4"),
        (
            [array.T for array in lstm_of(I, H)],
            xpbptt.LSTM(I, H),
            r"\[0\]` has shape \(20, 3\).*: it is transposed",
        ),
        (
            [*lstm_of(I, H)[:1], *lstm_of(I, 7)[1:]],
            xpbptt.LSTM(I, H),
            r"\[1\]` has shape \(7, 28\).*of 7 hidden units, this net has 5",
        ),
        (
            [np.ones((I, 15)), np.ones((H, 15)), np.ones(15)],
            xpbptt.GRU(I, H),
            r"`weights\[2\]` has shape \(15,\): .*reset_after=False; make the net as",
        ),
        (
            [np.ones((I, 15)), np.ones((H, 15)), np.ones((2, 15))],
            xpbptt.GRU(I, H, reset_after=False),
            r"`weights\[2\]` has shape \(2, 15\): .*reset_after=True; make the net as",
        ),
    ],
)
def test_weights_of_another_layer_are_refused(weights, net, text):
    with pytest.raises(ValueError, match=text):
        keras.from_weights(weights, net)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"0/w3": None}, ValueError, r"`arrays` lacks \['0/w3'\]"),
        ({"0/w3": None, "0/W3": 1}, ValueError, r"lacks \['0/w3'\], and has \['0/W3'\] instead"),
        ({"1/w0": np.ones(3)}, ValueError, r"has \['1/w0'\], which .* no place for: has the net"),
        ({"0/w3": 2.0}, TypeError, r"`arrays\['0/w3'\]` must be a tensor or an array"),
        ({"0/b3": np.ones(H, "f4")}, TypeError, r"`arrays\['0/b3'\]` has dtype float32"),
        ({"0/b3": np.ones(H, int)}, TypeError, r"`arrays\['0/b3'\]` has dtype int64"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, error, text):
    _, _, arrays = n_step(8)
    arrays = {name: array for name, array in (arrays | change).items() if array is not None}
    with pytest.raises(error, match=text):
        chainer.from_npz(arrays, xpbptt.LSTM(I, H))


def test_a_net_that_a_library_does_not_have_is_refused():
    with pytest.raises(ValueError, match=r"GRU\(3, 5\), whose cell Deep .* does not have"):
        dlfs2.from_params([], xpbptt.GRU(I, H))
    with pytest.raises(ValueError, match="is one layer in one direction"):
        chainer.to_npz((), xpbptt.GRU(I, H, 2, reset_after=False))
    with pytest.raises(TypeError, match="`net` must be a net"):
        keras.from_weights([], xpbptt.LSTM)
    projected = xpbptt.LSTMP(I, H, proj_size=2)
    with pytest.raises(ValueError, match="cell has other parameters than those of two products"):
        read({}, projected, Layout("mine", ("w", "u")))
    with pytest.raises(ValueError, match="for the gates a"):
        read({}, xpbptt.LSTM(I, H), Layout("mine", ("w", "u"), gates=("a",)))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"names": ("w",)}, "`names` must name two matrices"),
        ({"names": (("a", "b"), "u"), "gates": ("z", "r", "n")}, "name one for each gate"),
        ({"names": ("w", "u"), "complement": ("z",)}, r"`complement` has \['z'\]"),
        ({"names": ("w", "u"), "one_bias": "both"}, "`one_bias` must be"),
    ],
)
def test_a_description_that_contradicts_itself_is_refused(arguments, text):
    with pytest.raises(ValueError, match=text):
        Layout("mine", **arguments)
