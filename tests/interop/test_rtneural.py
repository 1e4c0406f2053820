"""JSON models of RTNeural, whose equations are written out here as its sources have them.

RTNeural/model_loader.h reads ``weights`` as Keras arranges them, RTNeural/lstm/lstm.tpp takes the
gates i f c o from the columns, RTNeural/gru/gru.tpp z r c; `forward` is in lstm.h and gru.h.
"""

import copy
import json

import numpy as np
import pytest

import xpbptt
from xpbptt.interop.rtneural import load, save

T, I, H, O = 7, 2, 5, 3
NETS = {"lstm": xpbptt.LSTM, "gru": xpbptt.GRU}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(weights, x):
    """lstm.h: one sample after the other, from a state of zeros."""
    w, u, b = (np.asarray(each) for each in weights)
    ht1, ct1, outputs = np.zeros(H), np.zeros(H), []
    for sample in x:
        i, f, c, o = ((sample @ w + ht1 @ u + b)[k * H : (k + 1) * H] for k in range(4))
        ct1 = sigmoid(f) * ct1 + sigmoid(i) * np.tanh(c)
        ht1 = sigmoid(o) * np.tanh(ct1)
        outputs.append(ht1)
    return np.stack(outputs)


def gru(weights, x):
    """gru.h: cVec = tanh(W_c x + r (U_c h + b[1]) + b[0]), h = (1 - z) c + z h."""
    w, u, b = (np.asarray(each) for each in weights)
    ht1, outputs = np.zeros(H), []
    for sample in x:
        part = [slice(k * H, (k + 1) * H) for k in range(3)]
        z, r = (sigmoid(sample @ w[:, p] + ht1 @ u[:, p] + b[0, p] + b[1, p]) for p in part[:2])
        p = part[2]
        c = np.tanh(sample @ w[:, p] + r * (ht1 @ u[:, p] + b[1, p]) + b[0, p])
        ht1 = (1 - z) * c + z * ht1
        outputs.append(ht1)
    return np.stack(outputs)


LAYERS = {"lstm": lstm, "gru": gru}


def dense(weights, x):
    kernel, bias = (np.asarray(each) for each in weights)
    return x @ kernel + bias


def model(kind="gru"):
    """Return a JSON model with arrays as RTNeural's `save_model` writes them."""
    random = np.random.default_rng(0)
    gates = {"lstm": 4, "gru": 3}[kind]
    bias = (2, gates * H) if kind == "gru" else (gates * H,)
    drawn = lambda *shape: random.normal(size=shape).tolist()  # noqa: E731
    recurrent = lambda size: [drawn(size, gates * H), drawn(H, gates * H), drawn(*bias)]  # noqa: E731
    return {
        "in_shape": [None, None, I],
        "layers": [
            {"type": kind, "activation": "tanh", "shape": [None, None, H], "weights": recurrent(I)},
            {"type": kind, "activation": "", "shape": [None, None, H], "weights": recurrent(H)},
            {
                "type": "dense",
                "activation": "",
                "shape": [None, None, O],
                "weights": [drawn(H, O), drawn(O)],
            },
        ],
    }


@pytest.mark.parametrize("kind", NETS)
def test_outputs_are_those_of_rtneural_both_ways(tmp_path, kind):
    path = tmp_path / "model.json"
    path.write_text(json.dumps(model(kind)), "utf8")
    x = np.random.default_rng(1).normal(size=(T, I))
    for _ in range(2):  # the file above, and then the one that `save` wrote
        layers = [layer["weights"] for layer in json.loads(path.read_text("utf8"))["layers"]]
        expected = dense(layers[2], LAYERS[kind](layers[1], LAYERS[kind](layers[0], x)))
        net, params, readout = load(path, dtype="float64")
        assert (net, net.cell.name) == (NETS[kind](I, H, 2), kind.upper())
        y, _ = net.infer(params, x[:, None, :])
        actual = xpbptt.Linear(H, O).infer(readout, y)[:, 0]
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-13)
        drawn = net.init(3, dtype="float64")
        save(net, drawn, path, readout=xpbptt.Linear(H, O).init(4, dtype="float64"))
    assert [layer["type"] for layer in json.loads(path.read_text("utf8"))["layers"]] == [
        kind,
        kind,
        "dense",
    ]


def test_numbers_in_float32_come_back_as_they_were(tmp_path):
    net = xpbptt.GRU(I, H)
    params = net.init(0)
    save(net, params, tmp_path / "model.json")
    same, loaded, readout = load(str(tmp_path / "model.json"))
    assert (same, readout) == (net, None)
    for one, other in zip(loaded[0][:4], params[0][:4], strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype


@pytest.mark.parametrize(
    ("place", "change", "text"),
    [
        (0, {"type": "conv1d"}, r"has the layers \['conv1d', 'gru', 'dense'\], expected lstm or"),
        (1, {"type": "lstm"}, "of one kind first"),
        (2, {"type": "prelu"}, "after the recurrent ones expected a dense layer"),
        (2, {"activation": "sigmoid"}, r"layers\[2\], of type dense, has the activation 'sigmoid'"),
        (0, {"activation": "relu"}, r"layers\[0\], of type gru, has the activation 'relu'"),
        (0, {"shape": [None, None, 16]}, r"layers\[0\] says of itself the shape .* 16\]"),
        (0, {"weights": [[1.0]]}, r"layers\[0\], of type gru, must have 3 arrays"),
        (0, {"weights": [[[1.0], [1.0, 2.0]], [[1.0]], [1.0]]}, "no arrays of numbers"),
        (0, {"weights": [1.0, 2.0, 3.0]}, r"has weights of \[0, 0, 0\] axes"),
        (1, {"weights": None}, r"layers\[1\], of type gru, must have 3"),
        (2, {"weights": [[[1.0] * O] * 4, [1.0] * O]}, r"has shape \(4, 3\), expected \(H, O\)"),
    ],
)
def test_models_that_are_no_such_net_are_refused(place, change, text):
    changed = copy.deepcopy(model())
    changed["layers"][place] |= change
    with pytest.raises(ValueError, match=text):
        load(changed)


def test_the_bias_of_another_layer_is_refused():
    changed = model()
    changed["layers"][0]["weights"][2] = [0.0] * (3 * H)
    with pytest.raises(ValueError, match=r"`model\[2\]` has shape \(15,\), expected .*\(2, 15\)"):
        load(changed)


def test_files_of_others_are_refused(tmp_path):
    path = tmp_path / "model.json"
    path.write_bytes(b'{"layers": ')
    with pytest.raises(ValueError, match=r"model\.json is no JSON file"):
        load(path)
    path.write_bytes(b'{"weight_ih_l0": 3}')
    with pytest.raises(ValueError, match=r"no model of RTNeural: it has \['weight_ih_l0'\]"):
        load(path)
    with pytest.raises(TypeError, match="must be a path or the object of a JSON model, got list"):
        load([])


def test_nets_that_rtneural_does_not_have_are_not_written(tmp_path):
    path = tmp_path / "model.json"
    for net, text in (
        (xpbptt.RNN(I, H), "whose cell RTNeural does not have"),
        (xpbptt.GRU(I, H, reset_after=False), "whose cell RTNeural does not have"),
        (xpbptt.LSTM(I, H, bidirectional=True), "in one direction"),
    ):
        with pytest.raises(ValueError, match=text):
            save(net, net.init(0), path)
    net = xpbptt.LSTM(I, H)
    with pytest.raises(ValueError, match=r"`readout.weight` has shape \(3, 4\)"):
        save(net, net.init(0), path, readout=xpbptt.Linear(4, O).init(0))
    params = net.init(0)
    params[0].bias_hh[0] = np.inf
    with pytest.raises(ValueError, match="not finite"):
        save(net, params, path)
    assert not path.exists()
