"""Weights from and to ``torch.nn.RNN``, ``LSTM`` and ``GRU``; torch itself is not imported."""

import re
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any

from xpbptt._arrays import check
from xpbptt._arrays.types import AnyArray
from xpbptt.cells.projection import Projection
from xpbptt.cells.recurrence import Weights
from xpbptt.interop.arrangement import MATRICES, Layout, Sizes
from xpbptt.interop.layout import read_sizes
from xpbptt.interop.projection import OWN, with_projections
from xpbptt.interop.tensors import check_rank, check_tensor

KEY = re.compile(r"(weight_ih|weight_hh|bias_ih|bias_hh|weight_hr)_l(0|[1-9]\d*)(_reverse)?")
FIELDS = Weights._fields[:4]  # without a cell's own parameters
LAYOUT = Layout("torch.nn", tuple(f"{field}_l{{layer}}{{direction}}" for field in FIELDS))
FITS = "the shape that fits the other tensors"
GATES = 1, 3, 4  # of RNN, GRU and LSTM
LSTM_GATES = 4  # of the only cell with a projection
Named = tuple[str, Any]


def from_state_dict(
    state_dict: Mapping[str, Any],
    *,
    xp: ModuleType | None = None,
    prefix: str = "",
    device: Any = None,
) -> tuple[Any, ...]:
    """Translate the state dict of a ``torch.nn`` recurrent module to a tree of parameters.

    Parameters
    ----------
    state_dict : mapping of str to array
        ``weight_ih_l{k}``, ``weight_hh_l{k}``, ``bias_ih_l{k}``, ``bias_hh_l{k}`` for each layer
        k, with ``_reverse`` appended for the other direction: tensors, or arrays of any library.
        Where a layer has no biases they become zeros. With ``weight_hr_l{k}``, of
        ``torch.nn.LSTM(proj_size=P)``, the parameters are those of an `xpbptt.LSTMP`.
    xp : namespace, optional
        The array library of the result. Default: NumPy.
    prefix : str
        Only keys that start so are read, as ``"encoder.lstm."``; the others are ignored.
    device : device, optional
        Where to put the arrays. Default: where they are if they are of that library, otherwise
        the library's default.

    Returns
    -------
    params : tree of arrays
        The parameters, copied, with the dtype they had.

    Raises
    ------
    TypeError, ValueError
        Where a key is unknown or missing, shapes do not fit together, or dtypes differ.

    Notes
    -----
    From one library to another the numbers go through the host, and so need a dtype that NumPy
    has. Within one library, as from torch to torch, bfloat16 passes, too.

    Examples
    --------
    >>> import xpbptt
    >>> from xpbptt.interop.torch import from_state_dict, to_state_dict
    >>> params = xpbptt.GRU(3, 5, bidirectional=True).init(0)
    >>> state_dict = to_state_dict(params)
    >>> sorted(state_dict)[:2]
    ['bias_hh_l0', 'bias_hh_l0_reverse']
    >>> from_state_dict(state_dict)[0][1].weight_ih.shape
    (15, 3)
    """
    if not isinstance(state_dict, Mapping):
        message = f"`state_dict` must be a mapping, got {type(state_dict).__name__}"
        raise TypeError(message)
    if not all(isinstance(key, str) for key in (prefix, *state_dict)):
        came = [prefix, *state_dict][:4]
        message = f"`prefix` and the keys of `state_dict` must be str, got {came}"
        raise TypeError(message)
    keys = [key for key in state_dict if key.startswith(prefix)]
    if not keys:
        message = f"`state_dict` has no key that starts with {prefix!r}: {list(state_dict)[:8]}"
        raise ValueError(message)
    places = [_place(key, prefix) for key in keys]
    own = any(field == OWN for field, *_ in places)
    for key in keys:
        check_tensor(f"state_dict[{key!r}]", state_dict[key])
    first = [f"{prefix}{field}_l0" for field in FIELDS[:MATRICES]]
    missing = [key for key in first if key not in state_dict]
    if missing:
        message = f"`state_dict` lacks {missing}"
        raise ValueError(message)
    matrices = [(f"state_dict[{key!r}]", state_dict[key]) for key in first]
    layers = max(layer for _, layer, _ in places) + 1
    others = (state_dict.get(f"{prefix}{FIELDS[1]}_l{layer}") for layer in range(1, layers))
    sizes = _sizes(matrices, others, 1 + any(reverse for *_, reverse in places), own=own)
    plain = {key: state_dict[key] for key in keys if not key.startswith(f"{prefix}{OWN}")}
    params = read_sizes(
        plain, sizes, LAYOUT, xp=xp, device=device, prefix=prefix, name="state_dict", meaning=FITS
    )
    if not own:
        return params
    return with_projections(params, state_dict, sizes, LAYOUT, xp=xp, device=device, prefix=prefix)


def to_state_dict(
    params: Sequence[Weights | tuple[Weights, Weights]], *, prefix: str = ""
) -> dict[str, AnyArray]:
    """Translate a tree of parameters, or of their gradients, to the names of ``torch.nn``.

    Parameters
    ----------
    params : tree of arrays
        The parameters of an `RNN`, `LSTM`, `LSTMP` or `GRU`.
    prefix : str
        The beginning of each name.

    Returns
    -------
    state_dict : dict of str to array
        The same arrays, not converted. For ``load_state_dict`` make tensors of them, as with
        ``torch.from_numpy``.

    Raises
    ------
    TypeError, ValueError
        Where `params` is not such a tree, or its arrays do not make one net.

    Notes
    -----
    A net with heads has no place in torch; it is refused unless its gates and heads together look
    like the gates of a cell of torch, as one gate with three heads does.

    ``torch.nn.GRU`` resets after the product. The parameters of a GRU with the reset before it
    have the same names and shapes, so they cannot be told apart here, but give other outputs there.
    """
    if not isinstance(params, (tuple, list)) or isinstance(params, Weights):
        message = f"`params` must be a tuple with one entry a layer, got {type(params).__name__}"
        raise TypeError(message)
    if not params:
        message = "`params` must have an entry for at least one layer, got an empty tuple"
        raise ValueError(message)
    pairs = [_pair(f"params[{layer}]", entry) for layer, entry in enumerate(params)]
    for layer, pair in enumerate(pairs):
        if len(pair) != len(pairs[0]):
            ways = {1: "in one direction", 2: "in both directions"}
            message = (
                f"`params[{layer}]` is {ways[len(pair)]}, but `params[0]` {ways[len(pairs[0])]}"
            )
            raise ValueError(message)
    check.one_namespace(tensor for pair in pairs for entry in pair for tensor in entry)
    others = (pair[0][1][1] for pair in pairs[1:])
    own = len(pairs[0][0]) > len(FIELDS)
    sizes = _sizes(pairs[0][0][:MATRICES], others, len(pairs[0]), own=own)
    if len(sizes.gates) not in GATES:
        message = (
            f"`params` have {len(sizes.gates)} gates by the shapes of `weight_hh`, but the cells "
            "of torch.nn have 1, 3 or 4: it has no place for other cells, nor for heads; write "
            "them with `xpbptt.save`"
        )
        raise ValueError(message)
    for layer, pair in enumerate(pairs):
        hidden, out = sizes.hidden[layer], sizes.output(layer)
        rows = len(sizes.gates) * hidden
        expected = [(rows, sizes.width(layer)), (rows, out), (rows,), (rows,), (out, hidden)]
        for entry in pair:
            if len(entry) != len(FIELDS) + own:
                path, has = entry[0][0].removesuffix(".weight_ih"), "no" if own else "a"
                message = (
                    f"`{path}` has {has} `{OWN}`, unlike the first layer: either all layers and "
                    "directions are projected, or none"
                )
                raise ValueError(message)
            for (name, tensor), shape in zip(entry, expected, strict=False):
                check.shape(name, tensor, shape, FITS)
    return {
        f"{prefix}{path.rpartition('.')[2]}_l{layer}{direction}": array
        for layer, pair in enumerate(pairs)
        for direction, entry in zip(LAYOUT.directions, pair, strict=False)
        for path, array in entry
    }


def _pair(name: str, entry: Any) -> list[list[Named]]:
    """Return the named arrays of each direction of one layer."""
    pair = {name: entry}
    if isinstance(entry, (tuple, list)) and not isinstance(entry, Weights):
        pair = {f"{name}[{direction}]": weights for direction, weights in enumerate(entry)}
        if len(pair) != len(LAYOUT.directions):
            pair = {name: None}
    if not all(isinstance(weights, Weights) for weights in pair.values()):
        message = f"`{name}` must be Weights or a pair of Weights, got {entry!r:.80}"
        raise TypeError(message)
    if any(isinstance(weights.weight_hh, tuple) for weights in pair.values()):
        message = f"`{name}` has no `weight_hh`, for which torch.nn has a place in every cell"
        raise ValueError(message)
    if any(
        weights.extra and not isinstance(weights.extra, Projection) for weights in pair.values()
    ):
        message = f"`{name}` has parameters of its own (`extra`), for which torch.nn has no place"
        raise ValueError(message)
    return [
        [
            *((f"{path}.{field}", array) for field, array in zip(FIELDS, weights, strict=False)),
            *((f"{path}.extra.{OWN}", array) for array in weights.extra or ()),
        ]
        for path, weights in pair.items()
    ]


def _place(key: str, prefix: str) -> tuple[str, int, bool]:
    """Return the field and the layer of a key, and whether it is of the backward direction."""
    match = KEY.fullmatch(key.removeprefix(prefix))
    if match is None:
        message = (
            f"`state_dict` has the unknown key {key!r}; expected weight_ih_l0, weight_hh_l0, "
            "bias_ih_l0, bias_hh_l0, and so on for each layer, with _reverse for the other "
            "direction, and weight_hr_l0 with proj_size; for a module inside another one pass its "
            "name as `prefix`"
        )
        raise ValueError(message)
    return match[1], int(match[2]), match[3] is not None


def _sizes(matrices: list[Named], others: Iterable[Any], directions: int, *, own: bool) -> Sizes:
    """Return the sizes that follow from the matrices of the first layer and W_hh of the others."""
    for name, tensor in matrices:
        check_rank(name, tensor, 2)
    (_, weight_ih), (name, weight_hh) = matrices
    rows, columns = weight_hh.shape
    count = LSTM_GATES if own else rows // max(columns, 1)
    projected = columns if own else 0
    hidden = _units((rows, columns), count, projected)
    if not hidden:
        message = f"`{name}` has shape {(rows, columns)}, expected (G·H, H)"
        if own:
            message = (
                f"`{name}` has shape {(rows, columns)}, expected (4·H, P): beside a `{OWN}` it is "
                "that of a torch.nn.LSTM with proj_size=P, here xpbptt.LSTMP; for any other net "
                f"leave out `{OWN}`"
            )
        raise ValueError(message)
    gates = tuple(map(str, range(count)))  # names do not matter: nothing is rearranged
    shapes = (tuple(getattr(other, "shape", ())) for other in others)
    sizes = (_units(shape, count, projected) or hidden for shape in shapes)
    return Sizes(weight_ih.shape[1], (hidden, *sizes), gates, directions, projected)


def _units(shape: tuple[int, ...], gates: int, projected: int) -> int:
    """Return H of a W_hh with the shape (G·H, H), or (G·H, P) if projected; 0 for other shapes."""
    if len(shape) != MATRICES or not gates:
        return 0
    rows, columns = shape
    hidden = rows // gates
    return hidden if (rows, columns) == (gates * hidden, projected or hidden) else 0
