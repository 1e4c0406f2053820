"""Which tensors a model file holds: their names and shapes, as trees."""

import heapq
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from xpbptt._arrays.tree import leaves
from xpbptt._arrays.types import Tree
from xpbptt.commands.train.model import CharModel
from xpbptt.nets.linear import LinearParams
from xpbptt.nets.stack import signature

_NAMED = 5  # names of tensors in a message


@dataclass(frozen=True)
class Tensor:
    """The name and shape of a tensor in the file."""

    name: str
    shape: tuple[int, ...]


def trees(model: CharModel, batch: int) -> tuple[Tree, Tree, Tree, Tree]:
    """Return the trees of parameters, means, squares and state with `Tensor` as leaves."""
    state = _named("state.{layer}.{field}", signature.states(model.net, batch))
    return _params(model, ""), _params(model, "adam.mean."), _params(model, "adam.square."), state


def check_names(found: AbstractSet[str], expected: Tree) -> None:
    """Raise a ValueError if a file has other tensors than those of the tree `expected`."""
    names = {tensor.name for _, tensor in leaves(expected)}
    if found != names:
        message = f"it lacks {_some(names - found)}, and has {_some(found - names)}"
        raise ValueError(message)


def check_shapes(found: dict[str, tuple[str, tuple[int, ...]]], expected: Tree) -> None:
    """Raise a ValueError if a tensor has another dtype than float32, or another shape."""
    for _, tensor in leaves(expected):
        dtype, shape = found[tensor.name]
        if (dtype, shape) != ("F32", tensor.shape):
            message = f"{tensor.name} is {dtype} {shape}, expected F32 {tensor.shape}"
            raise ValueError(message)


def _some(names: AbstractSet[str]) -> str:
    """Return the first few of a set of names, and how many more there are."""
    first = str(heapq.nsmallest(_NAMED, names))
    more = len(names) - _NAMED
    return f"{first} and {more} more" if more > 0 else first


def _params(model: CharModel, prefix: str) -> Tree:
    size_in, size_out = model.readout.input_size, model.readout.output_size
    readout = LinearParams(
        weight=Tensor(f"{prefix}readout.weight", (size_out, size_in)),
        bias=Tensor(f"{prefix}readout.bias", (size_out,)),
    )
    shapes = signature.parameters(model.net)
    return {"net": _named(prefix + "net.{field}_l{layer}", shapes), "readout": readout}


def _named(pattern: str, layers: Tree) -> Tree:
    """Give each leaf of a tree of shapes, one named tuple a layer, its name in the file."""
    return tuple(
        type(entry)(
            *(
                expected and Tensor(pattern.format(field=field, layer=layer), expected.shape)
                for field, expected in zip(entry._fields, entry, strict=True)
            )
        )
        for layer, entry in enumerate(layers)
    )
