"""Weights from and to Keras's own layers, on its torch backend."""

import os

import numpy as np
import pytest

import xpbptt
from xpbptt.interop.keras import from_weights, to_weights

os.environ.setdefault("KERAS_BACKEND", "torch")
REASON = "compares with Keras, which is not installed: nox -s peers runs it"
keras = pytest.importorskip("keras", reason=REASON)

# Keras asks its variables for their arrays in the way of NumPy 1.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ impl:DeprecationWarning")

T, B, I, H = 6, 4, 3, 5
LAYERS = {
    "SimpleRNN": (xpbptt.RNN, {}),
    "SimpleRNN-relu": (xpbptt.RNN, {"nonlinearity": "relu"}),
    "LSTM": (xpbptt.LSTM, {}),
    "GRU": (xpbptt.GRU, {}),
    "GRU-before": (xpbptt.GRU, {"reset_after": False}),
}


def make(name, both, use_bias, layers):
    """Return a Keras model with random biases, too, and the net it is."""
    net_of, options = LAYERS[name]
    kind = getattr(keras.layers, name.partition("-")[0])
    of_keras = {"activation": "relu"} if "relu" in name else {}
    if "GRU" in name:
        of_keras["reset_after"] = name == "GRU"
    stack = [
        kind(
            H,
            return_sequences=True,
            use_bias=use_bias,
            bias_initializer=keras.initializers.RandomNormal(seed=7 + k),
            **of_keras,
        )
        for k in range(layers)
    ]
    stack = [keras.layers.Bidirectional(layer) for layer in stack] if both else stack
    model = keras.Sequential([keras.Input((T, I)), *stack])
    return model, net_of(I, H, layers, bidirectional=both, **options)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(
    ("both", "use_bias", "layers"), [(False, True, 1), (True, True, 2), (True, False, 1)]
)
def test_outputs_are_those_of_keras_both_ways(name, both, use_bias, layers):
    model, net = make(name, both, use_bias, layers)
    x = np.random.default_rng(0).normal(size=(B, T, I)).astype("f4")
    ours = x.swapaxes(0, 1)

    def outputs():
        return keras.ops.convert_to_numpy(model(x)).swapaxes(0, 1)

    params = from_weights(model.get_weights(), net)
    np.testing.assert_allclose(net.infer(params, ours)[0], outputs(), rtol=0, atol=1e-6)

    drawn = net.init(5)
    if not use_bias:
        drawn = from_weights(to_weights(drawn, net)[:2] + to_weights(drawn, net)[3:5], net)
    before = outputs()
    model.set_weights(to_weights(drawn, net, use_bias=use_bias))
    np.testing.assert_allclose(net.infer(drawn, ours)[0], outputs(), rtol=0, atol=1e-6)
    assert np.abs(outputs() - before).max() > 0.01
