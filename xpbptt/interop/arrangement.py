"""How a library arranges the weights of a cell, as a value."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Name = str | int | tuple[str, ...]

MATRICES = 2  # of a layer and direction; what else it has are biases


@dataclass(frozen=True)
class Layout:
    """How a library arranges the arrays of one layer and direction.

    Written for one library and one cell; `read` and `write` do the rest. The arrays here are those
    of `Weights`: two matrices with a row for each unit of each gate, and two biases.

    Parameters
    ----------
    library : str
        What the layout is called in messages, as ``"Keras"``.
    names : tuple
        The names of the matrix of the input, the matrix of the state, and of none, one or two
        biases. A name is a text in which ``{layer}``, ``{direction}`` and ``{index}`` are replaced;
        a tuple of one such text for each gate, where each gate has an array of its own; or an int:
        the position in a list in which every layer and direction has as many arrays as there are
        names. ``{index}`` counts the directions of all layers.
    gates : tuple of str, optional
        The gates in the library's order: i f g o for an LSTM, r z n for a GRU, a for an RNN, and
        for another cell the fields of its `gates`. Default: the order here, whatever the cell.
    transposed : bool
        Whether the matrices are (I, G·H) and (H, G·H), a column for each unit of each gate.
    interleaved : bool
        Whether the gates of a unit are side by side, instead of the units of a gate.
    complement : tuple of str
        Gates that are 1 - the gate here, as z where h' = (1 - z) h + z n.
    one_bias : {"sum", "rows", "halves"}
        What one bias is: the sum of both, an array (2, G·H) of the input's and the state's, or the
        two one after the other, (2·G·H,).
    directions : tuple of str
        What replaces ``{direction}``: for the forward and for the backward direction.

    Examples
    --------
    The GRU of a library with one array for each gate, the update gate the other way round:

    >>> import numpy as np
    >>> import xpbptt
    >>> from xpbptt.interop.layout import Layout, read, write
    >>> names = (("wz", "wr", "wn"), ("uz", "ur", "un"), "b")
    >>> layout = Layout(
    ...     "mine", names, gates=("z", "r", "n"), transposed=True, complement=("z",)
    ... )
    >>> net = xpbptt.GRU(3, 5, reset_after=False)
    >>> params = net.init(0)
    >>> arrays = write(params, net, layout)
    >>> arrays["wz"].shape, arrays["uz"].shape, arrays["b"].shape
    ((3, 5), (5, 5), (15,))
    >>> bool(np.all(read(arrays, net, layout)[0].weight_ih == params[0].weight_ih))
    True
    """

    library: str
    names: tuple[Name, ...]
    gates: tuple[str, ...] | None = None
    transposed: bool = False
    interleaved: bool = False
    complement: tuple[str, ...] = ()
    one_bias: Literal["sum", "rows", "halves"] = "sum"
    directions: tuple[str, str] = ("", "_reverse")

    def __post_init__(self) -> None:
        """Refuse a description that contradicts itself."""
        if not MATRICES <= len(self.names) <= MATRICES + 2:
            message = f"`names` must name two matrices and none, one or two biases: {self.names}"
            raise ValueError(message)
        if self.one_bias not in ("sum", "rows", "halves"):
            message = f"`one_bias` must be 'sum', 'rows' or 'halves', got {self.one_bias!r}"
            raise ValueError(message)
        for name in self.names:
            if isinstance(name, tuple) and len(name) != len(self.gates or ()):
                message = f"`names` has {name} for the gates {self.gates}: name one for each gate"
                raise ValueError(message)
        unknown = [gate for gate in self.complement if gate not in (self.gates or ())]
        if unknown:
            message = f"`complement` has {unknown}, which are not in `gates` = {self.gates}"
            raise ValueError(message)

    def one_a_gate(self, place: int) -> bool:
        """Tell whether a field of `Weights`, known by its place, has one array for each gate."""
        return isinstance(self.names[min(place, len(self.names) - 1)], tuple)

    def keys(self, name: Name, layer: int, direction: int, directions: int) -> list[Any]:
        """Return the keys that a name stands for in a layer and direction."""
        index = layer * directions + direction
        if isinstance(name, int):
            return [index * len(self.names) + name]
        marks = {"layer": layer, "direction": self.directions[direction], "index": index}
        texts = (name,) if isinstance(name, str) else name
        return [text.format(**marks) for text in texts]


class Sizes(NamedTuple):
    """The sizes of a net, H of each layer, and how its gates are called, in order.

    `projected` is the size P to which the outputs of all layers are projected; 0 if they are not.
    """

    inputs: int
    hidden: tuple[int, ...]
    gates: tuple[str, ...]
    directions: int
    projected: int = 0

    def output(self, layer: int) -> int:
        """Return the size of the output of a layer in one direction."""
        return self.projected or self.hidden[layer]

    def width(self, layer: int) -> int:
        """Return the size of the input of a layer."""
        return self.directions * self.output(layer - 1) if layer else self.inputs
