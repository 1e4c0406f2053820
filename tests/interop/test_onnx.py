"""Nets from and to ONNX, run by onnxruntime, and read from what torch exports."""

import warnings

import numpy as np
import pytest

import xpbptt
from xpbptt.interop.onnx import load, save

REASON = "runs ONNX models, and {} is not installed: nox -s peers runs it"
onnx = pytest.importorskip("onnx", reason=REASON.format("onnx"))
onnxruntime = pytest.importorskip("onnxruntime", reason=REASON.format("onnxruntime"))

T, B, I, H = 6, 4, 3, 5
NETS = {
    "rnn": xpbptt.RNN,
    "rnn-relu": lambda *sizes, **options: xpbptt.RNN(*sizes, nonlinearity="relu", **options),
    "lstm": xpbptt.LSTM,
    "gru": xpbptt.GRU,
    "gru-before": lambda *sizes, **options: xpbptt.GRU(*sizes, reset_after=False, **options),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.onnx"


def normal(*shape):
    return np.random.default_rng([*shape]).normal(size=shape).astype("f4")


def session(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def flat(tree):
    return [leaf for each in tree for leaf in flat(each)] if isinstance(tree, tuple) else [tree]


def assert_close(one, other, tolerance=1e-6):
    np.testing.assert_allclose(one, other, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(("layers", "both"), [(1, False), (2, True), (3, False)])
def test_onnxruntime_gives_the_outputs_of_the_net_at_any_length(path, name, layers, both):
    net = NETS[name](I, H, layers, bidirectional=both)
    params = net.init(2)
    save(net, params, path)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    for steps, batch in ((T, B), (1, 7)):
        x = normal(steps, batch, I)
        _, like = net.infer(params, x)
        entries = like if both else [(entry,) for entry in like]
        parts = like[0][0]._fields if both else like[0]._fields
        feed = {
            f"{part}0_l{k}": normal(1 + both, batch, H) + np.float32(k)
            for k in range(layers)
            for part in parts
        }
        kind = type(entries[0][0])
        state = tuple(
            tuple(kind(*(feed[f"{part}0_l{k}"][d] for part in parts)) for d in range(1 + both))
            for k in range(layers)
        )
        y, last = net.infer(params, x, state if both else tuple(pair[0] for pair in state))
        run = session(path)
        names = [output.name for output in run.get_outputs()]
        found = dict(zip(names, run.run(None, {"x": x, **feed}), strict=True))
        assert_close(found["y"], y)
        for k in range(layers):
            for part in parts:
                ends = last[k] if both else (last[k],)
                expected = np.stack([getattr(end, part) for end in ends])
                assert_close(found[f"{part}n_l{k}"], expected)
    same, loaded = load(path)
    assert same == net
    for one, other in zip(flat(loaded), flat(params), strict=True):
        np.testing.assert_array_equal(one, other)


def exported(torch, module, x, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an exporter that torch will replace
        given = (torch.from_numpy(x),)
        torch.onnx.export(module, given, str(path), dynamo=False, input_names=["x"])


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize(("layers", "both"), [(1, False), (2, True), (2, False)])
def test_what_torch_exports_is_read(torch, path, name, layers, both):
    module = getattr(torch.nn, name)(I, H, layers, bidirectional=both)
    x = normal(T, B, I)
    exported(torch, module, x, path)
    net, params = load(onnx.load(path))
    assert (net.num_layers, net.bidirectional, net.cell.name) == (layers, both, name)
    y, _ = net.infer(params, x)
    assert_close(session(path).run(None, {"x": x})[0], y)
    assert_close(module(torch.from_numpy(x))[0].detach().numpy(), y)


@pytest.mark.parametrize("bias", [True, False])
def test_batch_first_and_without_biases(torch, path, bias):
    """The net itself has the time first."""
    module = torch.nn.LSTM(I, H, batch_first=True, bias=bias)
    x = normal(B, T, I)
    exported(torch, module, x, path)
    net, params = load(path)
    y, _ = net.infer(params, x.swapaxes(0, 1))
    assert_close(module(torch.from_numpy(x))[0].detach().numpy().swapaxes(0, 1), y)


def shapes_of_the_trace(graph):
    """Have the sizes of x and of the Reshape that follows a layer in numbers, as dynamo does."""
    for dim, size in zip(graph.input[0].type.tensor_type.shape.dim[:2], (T, B), strict=True):
        dim.dim_value = size
    of_reshapes_are(graph, [T, B, H])


def of_reshapes_are(graph, sizes):
    stored = [each for each in graph.initializer if each.name.startswith("width_l")]
    assert stored
    for each in stored:
        each.CopyFrom(onnx.numpy_helper.from_array(np.asarray(sizes), each.name))


def test_sizes_in_numbers(path):
    net = xpbptt.LSTM(I, H, 2)
    assert load(changed(path, shapes_of_the_trace))[0] == net

    def other_way(graph):
        shapes_of_the_trace(graph)
        of_reshapes_are(graph, [B, T, H])

    with pytest.raises(ValueError, match=r"by \['Transpose', 'Reshape'\], which is not"):
        load(changed(path, other_way))


def changed(path, change, net=None):
    """Return the model of a net after a change of its graph."""
    net = net or xpbptt.LSTM(I, H, 2)
    save(net, net.init(0), path)
    model = onnx.load(path)
    change(model.graph)
    return model


def attribute(name, value):
    def change(graph):
        node = graph.node[0]
        for each in [each for each in node.attribute if each.name == name]:
            node.attribute.remove(each)
        node.attribute.append(onnx.helper.make_attribute(name, value))

    return change


def zeros_for(name, value):
    """Store a value for an input."""

    def change(graph):
        kept = [each for each in graph.input if each.name != name]
        del graph.input[:]
        graph.input.extend(kept)
        array = np.full((1, B, H), value, "f4")
        graph.initializer.append(onnx.numpy_helper.from_array(array, name))

    return change


def readout(graph):
    graph.node.append(onnx.helper.make_node("MatMul", ["y", "R_l0"], ["z"]))


def rewire(place, name):
    def change(graph):
        inputs = list(graph.node[3].input)
        inputs[place] = name
        del graph.node[3].input[:]
        graph.node[3].input.extend(inputs)

    return change


def other_gates(graph):
    """Store the weights of a GRU."""
    for name, shape in (("W_l0", (1, 3 * H, I)), ("R_l0", (1, 3 * H, H)), ("B_l0", (1, 6 * H))):
        (tensor,) = [each for each in graph.initializer if each.name == name]
        tensor.CopyFrom(onnx.numpy_helper.from_array(np.ones(shape, "f4"), name))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (attribute("clip", 3.0), r"node LSTM 'LSTM_l0' has the attribute clip = 3.0"),
        (attribute("input_forget", 1), "has the attribute input_forget = 1"),
        (attribute("layout", 1), "has the attribute layout = 1"),
        (attribute("direction", "reverse"), "has direction = 'reverse'"),
        (
            attribute("activations", ["HardSigmoid", "Tanh", "Tanh"]),
            r"has the activations \['HardSigmoid', .*expected \['Sigmoid', 'Tanh', 'Tanh'\]",
        ),
        (attribute("activation_alpha", [0.1]), "has the attribute activation_alpha"),
        (
            zeros_for("c0_l1", 1.0),
            "the node LSTM 'LSTM_l1' has the initial state 'c0_l1', which is",
        ),
        (readout, r"model also has \['MatMul'\]: .*extract_model"),
        (rewire(0, "x"), "LSTM 'LSTM_l1' has X = 'x', expected Y of LSTM 'LSTM_l0'"),
        (rewire(0, "Y_l0"), r"gets Y of LSTM 'LSTM_l0' by \[\], which is not \(T, B, D·H\)"),
        (rewire(1, "x"), "has W = 'x', which is not stored in the model"),
        (other_gates, r"`model\['0/W'\]` has shape \(15, 3\), .* 3 gates .* this net has 4"),
    ],
)
def test_what_a_net_does_not_have_is_refused(path, change, text):
    with pytest.raises(ValueError, match=text):
        load(changed(path, change))


def test_what_changes_nothing_is_read(path):
    """Attributes with their defaults, and a stored initial state of zeros."""
    expected = load(changed(path, lambda graph: None))[0]
    for change in (attribute("input_forget", 0), attribute("layout", 0), zeros_for("c0_l1", 0.0)):
        assert load(changed(path, change))[0] == expected


def test_layers_that_differ_are_refused(path):
    change = attribute("linear_before_reset", 0)  # of the first node
    with pytest.raises(ValueError, match="'GRU_l0' and GRU 'GRU_l1', which differ"):
        load(changed(path, change, xpbptt.GRU(I, H, 2)))


def test_what_is_no_model_is_refused(path):
    path.write_bytes(b"\xff\xff no model")
    with pytest.raises(ValueError, match=r"net\.onnx is no ONNX model"):
        load(path)
    with pytest.raises(TypeError, match=r"`model` must be an onnx.ModelProto or a path, got int"):
        load(3)
    model = onnx.helper.make_model(onnx.helper.make_graph([], "empty", [], []))
    with pytest.raises(ValueError, match="has no RNN, LSTM or GRU"):
        load(model)


def test_a_net_that_onnx_does_not_have_is_not_written(path):
    cell = xpbptt.LSTM(I, H).cell._replace(name="mine", forward=lambda *a, **o: None)
    with pytest.raises(ValueError, match=r"mine\(3, 5\), whose cell ONNX does not have"):
        save(xpbptt.Net(cell, I, H), (), path)
    with pytest.raises(ValueError, match="`params"):
        save(xpbptt.LSTM(I, H), xpbptt.LSTM(I, 7).init(0), path)
    assert not path.exists()
