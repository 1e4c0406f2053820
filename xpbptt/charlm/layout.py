"""Which tensors a model file holds: their names and shapes, as trees."""

from dataclasses import dataclass
from typing import Any

from xpbptt import _signature
from xpbptt.charlm.model import CharModel
from xpbptt.linear import LinearParams

Tree = Any


@dataclass(frozen=True)
class Tensor:
    """The name and shape of a tensor in the file."""

    name: str
    shape: tuple[int, ...]


def layout(model: CharModel, batch: int) -> tuple[Tree, Tree, Tree, Tree]:
    """Return the trees of parameters, means, squares and state with `Tensor` as leaves.

    Parameters
    ----------
    model : CharModel
        The model.
    batch : int
        The size B of the state.
    """
    state = _named("state.{layer}.{field}", _signature.states(model.net, batch))
    return _params(model, ""), _params(model, "adam.mean."), _params(model, "adam.square."), state


def _params(model: CharModel, prefix: str) -> Tree:
    size_in, size_out = model.readout.input_size, model.readout.output_size
    readout = LinearParams(
        weight=Tensor(f"{prefix}readout.weight", (size_out, size_in)),
        bias=Tensor(f"{prefix}readout.bias", (size_out,)),
    )
    shapes = _signature.parameters(model.net)
    return {"net": _named(prefix + "net.{field}_l{layer}", shapes), "readout": readout}


def _named(pattern: str, layers: Tree) -> Tree:
    """Give each leaf of a tree of shapes, one named tuple a layer, its name in the file."""
    return tuple(
        type(entry)(
            *(
                Tensor(pattern.format(field=field, layer=layer), expected.shape)
                for field, expected in zip(entry._fields, entry, strict=True)
            )
        )
        for layer, entry in enumerate(layers)
    )
