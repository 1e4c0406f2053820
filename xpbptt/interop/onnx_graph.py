"""The graph of an ONNX model: finding its recurrent nodes, and making one."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from xpbptt._arrays.types import AnyArray

BOTH = 2
Kind = tuple[str, str, int]  # operator, activation of the gates, linear_before_reset
ACTIVATIONS = {"RNN": ["Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"]}
# What may stand around the recurrent nodes: it moves numbers and does not change them.
MOVES = frozenset(
    {"Cast", "Concat", "Constant", "ConstantOfShape", "Dropout", "Expand", "Gather", "Identity"}
    | {"Reshape", "Shape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"}
)
READ = ("hidden_size", "direction", "activations", "linear_before_reset")
OFF = {"input_forget": 0, "layout": 0}  # attributes with the value that changes nothing
RANKS = {"W": 3, "R": 3, "B": 2}  # the axes of the weights
LENGTHS, STATES, PEEPHOLES = 4, (5, 6), 7  # places among the inputs of a node
Axes = tuple[str, ...]


class Recurrent(NamedTuple):
    """A recurrent node that a net here can be."""

    text: str  # for messages
    kind: Kind
    inputs: int
    hidden: int
    directions: int
    arrays: dict[str, AnyArray]  # W (D, G·H, I), R (D, G·H, H) and B (D, 2·G·H) where it has one


def library() -> Any:
    """Return the module onnx, or say how to install it."""
    try:
        import onnx  # noqa: PLC0415 - an extra, imported on use
    except ImportError as error:
        message = 'onnx is not installed: python -m pip install ".[onnx]" in a checkout of xpbptt'
        raise ImportError(message) from error
    return onnx


def parse(path: Path) -> Any:
    """Read a model from a file."""
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - comes with onnx

    try:
        return library().load(path)
    except DecodeError as error:
        message = f"{path} is no ONNX model, or a damaged one: {error}"
        raise ValueError(message) from error


def nodes(model: Any, name: str) -> list[Recurrent]:
    """Return the recurrent nodes of a model, the first layer first; refuse any other model."""
    if not isinstance(model, library().ModelProto):
        message = f"`model` must be an onnx.ModelProto or a path, got {type(model).__name__}"
        raise TypeError(message)
    graph = _Graph(model.graph, name)
    recurrent = [node for node in model.graph.node if node.op_type in ACTIVATIONS]
    others = sorted({n.op_type for n in model.graph.node} - MOVES - ACTIVATIONS.keys())
    if not recurrent or others:
        what = f"also has {others}" if recurrent else f"has no RNN, LSTM or GRU, but {others}"
        message = (
            f"{name} {what}: a net is recurrent nodes alone; onnx.utils.extract_model cuts them out"
        )
        raise ValueError(message)
    found = [graph.recurrent(node) for node in recurrent]
    for k, node in enumerate(recurrent):
        graph.check_input(node, recurrent[k - 1] if k else None, found[k - 1])
        graph.check_states(node)
    return found


class _Graph:
    """A graph with its constants and with the node that makes each value."""

    def __init__(self, graph: Any, name: str) -> None:
        numbers = library().numpy_helper
        self._name = name
        self._makers = {output: node for node in graph.node for output in node.output if output}
        self._stored = {each.name: each for each in graph.initializer}
        self._inputs = {each.name: each for each in graph.input}
        self._sizes: list[set[int]] = []  # T and B as a Reshape may have them; 0 copies the size
        self._array = numbers.to_array

    def _error(self, node: Any, problem: str) -> ValueError:
        return ValueError(f"{self._name}: the node {_text(node)} {problem}")

    def constant(self, value: str) -> AnyArray | None:
        """Return a value that is known without running the graph, or None."""
        if value in self._stored:
            return self._array(self._stored[value])
        maker = self._makers.get(value)
        if maker is None:
            return None
        if maker.op_type == "Identity":
            return self.constant(maker.input[0])
        if maker.op_type == "Constant":
            attributes = _attributes(maker)
            found = attributes.get("value", next(iter(attributes.values()), None))
            return self._array(found) if hasattr(found, "data_type") else np.asarray(found)
        return None

    def recurrent(self, node: Any) -> Recurrent:
        """Read the attributes and weights of a node; refuse what a net here does not have."""
        attributes = _attributes(node)
        direction = attributes.get("direction", "forward")
        if direction not in ("forward", "bidirectional"):
            raise self._error(node, f"has direction = {direction!r}: nets start with forward")
        directions = BOTH if direction == "bidirectional" else 1
        usual = ACTIVATIONS[node.op_type] * directions
        activations = attributes.get("activations", usual)
        for attribute, value in attributes.items():
            if attribute not in READ and value != OFF.get(attribute):
                problem = f"has the attribute {attribute} = {value}, which nets here do not have"
                raise self._error(node, f"{problem}: make the model without it")
        relu = ["Relu"] * directions if node.op_type == "RNN" else usual
        if activations not in (usual, relu):
            raise self._error(node, f"has the activations {activations}, expected {usual}")
        arrays = self._weights(node, directions)
        kind = (node.op_type, activations[0], int(attributes.get("linear_before_reset", 0)))
        inputs, hidden = arrays["W"].shape[2], arrays["R"].shape[2]
        return Recurrent(_text(node), kind, inputs, hidden, directions, arrays)

    def _weights(self, node: Any, directions: int) -> dict[str, AnyArray]:
        """Return W, R and, where the node has one, B; each with the directions first."""
        if len(node.input) > PEEPHOLES and node.input[PEEPHOLES]:
            raise self._error(node, "has peepholes (P): make it a cell of your own")
        arrays = {}
        for (key, rank), value in zip(RANKS.items(), node.input[1:4], strict=False):
            if key == "B" and not value:
                continue
            array = self.constant(value)
            if array is None:
                problem = f"has {key} = {value!r}, which is not stored in the model"
                raise self._error(node, f"{problem}: fold its constants when you export it")
            if array.ndim != rank or array.shape[0] != directions:
                problem = f"has {key} with shape {array.shape}, expected {rank} axes, the first of"
                raise self._error(node, f"{problem} {directions} for its direction")
            arrays[key] = array
        return arrays

    def check_input(self, node: Any, before: Any | None, layer: Recurrent) -> None:
        """Refuse a node whose X is not the output of the one before, or the graph's input."""
        moves, value = [], node.input[0]
        while value in self._makers and self._makers[value].op_type in MOVES:
            moves.append(self._makers[value])
            value = moves[-1].input[0]
        if before is None:
            swaps = [_attributes(move).get("perm") for move in moves]
            if value not in self._inputs or swaps not in ([], [[1, 0, 2]]):
                problem = f"has X = {node.input[0]!r}, expected an input of the model, (T, B, I)"
                raise self._error(node, problem)
            dims = self._inputs[value].type.tensor_type.shape.dim
            sizes = [{0, dim.dim_value} for dim in dims[:2]]  # 0 where a size is free
            self._sizes = sizes[::-1] if swaps else sizes
            return
        if value != before.output[0]:
            raise self._error(node, f"has X = {node.input[0]!r}, expected Y of {_text(before)}")
        axes: Axes | None = ("T", "D", "B", "H")
        for move in reversed(moves):
            axes = axes and self._moved(move, axes, layer)
        if axes not in (("T", "B", "DH"), *[("T", "B", "H")] * (layer.directions == 1)):
            moved = [move.op_type for move in reversed(moves)]
            problem = f"gets Y of {_text(before)} by {moved}, which is not (T, B, D·H) of it"
            raise self._error(node, problem)

    def _moved(self, move: Any, axes: Axes, layer: Recurrent) -> Axes | None:
        """Return the axes after a node that moves numbers, or None if that is not known."""
        attributes = _attributes(move)
        given = self.constant(move.input[1]) if len(move.input) > 1 else None
        if move.op_type in ("Identity", "Dropout"):
            return axes
        if move.op_type == "Transpose":
            return tuple(axes[k] for k in attributes.get("perm", range(len(axes))[::-1]))
        if move.op_type == "Squeeze":
            dropped = attributes.get("axes") if given is None else given.tolist()
            one = [k for k, axis in enumerate(axes) if axis == "D" and layer.directions == 1]
            if dropped and [k % len(axes) for k in dropped] == one:
                return tuple(axis for axis in axes if axis != "D")
        if move.op_type == "Reshape" and given is not None and axes == ("T", "B", "D", "H"):
            fits = (*self._sizes, {layer.directions * layer.hidden})
            target = given.tolist()
            if len(target) == len(fits) and all(
                size in (-1, *known) for size, known in zip(target, fits, strict=True)
            ):
                return ("T", "B", "DH")
        return None

    def check_states(self, node: Any) -> None:
        """Refuse initial states that are stored and not zero, and stored lengths."""
        lengths = node.input[LENGTHS] if len(node.input) > LENGTHS else ""
        if lengths and lengths not in self._inputs:
            raise self._error(node, f"has sequence_lens = {lengths!r}: pass a mask to the net")
        for place in STATES:
            if len(node.input) > place and not self._zero(node.input[place]):
                problem = f"has the initial state {node.input[place]!r}, which is not zero"
                raise self._error(node, f"{problem}: make it an input, and pass it to the net")

    def _zero(self, value: str) -> bool:
        """Tell whether a value holds only zeros and what comes from the graph's inputs."""
        stored = self.constant(value) if value else None
        if stored is not None:
            return stored.dtype.kind != "f" or not stored.any()
        maker = self._makers.get(value)
        if maker is None or maker.op_type == "Shape":
            return True
        filled = _attributes(maker).get("value") if maker.op_type == "ConstantOfShape" else None
        if filled is not None and self._array(filled).any():
            return False
        return all(self._zero(each) for each in maker.input)


def model(
    kind: Kind, layers: list[dict[str, AnyArray]], state: Axes, *, opset: int, ir: int
) -> Any:
    """Return the model of a net: a recurrent node a layer, and its axes put in order after it."""
    helper: Any = library().helper
    make_node, make_info = helper.make_node, helper.make_tensor_value_info
    stored_as: Any = library().numpy_helper.from_array
    operator, activation, linear = kind
    directions = layers[0]["R"].shape[0]
    dtype = helper.np_dtype_to_tensor_dtype(layers[0]["W"].dtype)

    def info(name: str, shape: list[Any]) -> Any:
        return make_info(name, dtype, shape)

    options: dict[str, Any] = {"linear_before_reset": linear} if operator == "GRU" else {}
    if operator == "RNN":
        options["activations"] = [activation] * directions
    inputs, outputs = [info("x", ["T", "B", layers[0]["W"].shape[2]])], []
    nodes, x = [], "x"
    stored = []
    for k, arrays in enumerate(layers):
        hidden = arrays["R"].shape[2]
        stored += [stored_as(np.asarray([0, 0, directions * hidden]), f"width_l{k}")]
        y = "y" if k == len(layers) - 1 else f"y_l{k}"
        stored += [stored_as(array, f"{key}_l{k}") for key, array in arrays.items()]
        first, last = ([f"{part}{mark}_l{k}" for part in state] for mark in ("0", "n"))
        inputs += [info(name, [directions, "B", hidden]) for name in first]
        outputs += [info(name, [directions, "B", hidden]) for name in last]
        nodes += [
            make_node(
                operator,
                [x, f"W_l{k}", f"R_l{k}", f"B_l{k}", "", *first],
                [f"Y_l{k}", *last],
                f"{operator}_l{k}",
                hidden_size=hidden,
                direction="bidirectional" if directions == BOTH else "forward",
                **options,
            ),
            make_node("Transpose", [f"Y_l{k}"], [f"TBDH_l{k}"], perm=[0, 2, 1, 3]),
            make_node("Reshape", [f"TBDH_l{k}", f"width_l{k}"], [y]),
        ]
        x = y
    outputs = [info("y", ["T", "B", directions * hidden]), *outputs]
    graph = helper.make_graph(nodes, "xpbptt", inputs, outputs, stored)
    imports = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=imports, ir_version=ir, producer_name="xpbptt")


def _attributes(node: Any) -> dict[str, Any]:
    """Return the attributes of a node, bytes decoded."""

    def decoded(value: Any) -> Any:
        return value.decode() if isinstance(value, bytes) else value

    value_of: Any = library().helper.get_attribute_value
    values = {each.name: value_of(each) for each in node.attribute}
    return {
        name: [decoded(each) for each in value] if isinstance(value, list) else decoded(value)
        for name, value in values.items()
    }


def _text(node: Any) -> str:
    return f"{node.op_type} {node.name or node.output[0]!r}"
