"""Weights from and to ``torch.nn.RNN``, ``LSTM`` and ``GRU``; torch itself is not imported."""

import re
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import array_api_compat
import numpy as np

from xpbptt._arrays import check
from xpbptt._arrays.host import to_numpy
from xpbptt._arrays.namespace import standard
from xpbptt._arrays.types import AnyArray
from xpbptt.cells.recurrence import Weights

KEY = re.compile(r"(weight_ih|weight_hh|bias_ih|bias_hh)_l(0|[1-9]\d*)(_reverse)?")
FIELDS = Weights._fields[:4]  # without a cell's own parameters
SUFFIXES = {False: "", True: "_reverse"}
Named = tuple[str, Any]


class Place(NamedTuple):
    """Where a tensor belongs: which field of which layer and direction."""

    layer: int
    reverse: bool
    field: str


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
        Where a layer has no biases they become zeros.
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
    xp = standard(np if xp is None else xp)
    tensors = {
        _place(key, prefix): (f"state_dict[{key!r}]", tensor)
        for key, tensor in state_dict.items()
        if key.startswith(prefix)
    }
    if not tensors:
        message = f"`state_dict` has no key that starts with {prefix!r}: {list(state_dict)[:8]}"
        raise ValueError(message)
    for name, tensor in tensors.values():
        _check_tensor(name, tensor)
    layers = max(place.layer for place in tensors) + 1
    both = any(place.reverse for place in tensors)
    directions = (False, True) if both else (False,)
    entries = [[_entry(tensors, k, reverse) for reverse in directions] for k in range(layers)]
    _check_sizes(entries)
    arrays = [
        [[(name, _convert(name, each, xp=xp, device=device)) for name, each in e] for e in layer]
        for layer in entries
    ]
    check.one_namespace(named for layer in arrays for entry in layer for named in entry)
    params = [[Weights(*(array for _, array in entry)) for entry in layer] for layer in arrays]
    return tuple(tuple(layer) if both else layer[0] for layer in params)


def to_state_dict(
    params: Sequence[Weights | tuple[Weights, Weights]], *, prefix: str = ""
) -> dict[str, AnyArray]:
    """Translate a tree of parameters, or of their gradients, to the names of ``torch.nn``.

    Parameters
    ----------
    params : tree of arrays
        The parameters of an `RNN`, `LSTM` or `GRU`.
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
    _check_sizes(pairs)
    return {
        f"{prefix}{field}_l{layer}{suffix}": array
        for layer, pair in enumerate(pairs)
        for suffix, entry in zip(SUFFIXES.values(), pair, strict=False)
        for field, (_, array) in zip(FIELDS, entry, strict=True)
    }


def _pair(name: str, entry: Any) -> list[list[Named]]:
    """Return the named arrays of each direction of one layer."""
    pair = {name: entry}
    if isinstance(entry, (tuple, list)) and not isinstance(entry, Weights):
        pair = {f"{name}[{direction}]": weights for direction, weights in enumerate(entry)}
        if len(pair) != len(SUFFIXES):
            pair = {name: None}
    if not all(isinstance(weights, Weights) for weights in pair.values()):
        message = f"`{name}` must be Weights or a pair of Weights, got {entry!r:.80}"
        raise TypeError(message)
    if any(weights.extra for weights in pair.values()):
        message = f"`{name}` has parameters of its own (`extra`), which torch.nn has no place for"
        raise ValueError(message)
    return [
        [(f"{path}.{field}", array) for field, array in zip(FIELDS, weights, strict=False)]
        for path, weights in pair.items()
    ]


def _place(key: str, prefix: str) -> Place:
    match = KEY.fullmatch(key.removeprefix(prefix))
    if match is None:
        message = (
            f"`state_dict` has the unknown key {key!r}; expected weight_ih_l0, weight_hh_l0, "
            "bias_ih_l0, bias_hh_l0, and so on for each layer, with _reverse for the other "
            "direction. Projections (proj_size) have no counterpart here; for a module inside "
            "another one pass its name as `prefix`"
        )
        raise ValueError(message)
    field, layer, reverse = match.groups()
    return Place(int(layer), reverse is not None, field)


def _entry(
    tensors: dict[Place, Named],
    layer: int,
    reverse: bool,  # noqa: FBT001 - private
) -> list[Named]:
    """Return the four named tensors of one layer and direction."""
    entry = [tensors.get(Place(layer, reverse, field)) for field in FIELDS]
    missing = [
        f"{field}_l{layer}{SUFFIXES[reverse]}"
        for field, tensor in zip(FIELDS, entry, strict=True)
        if tensor is None
    ]
    biases = [name for name in missing if name.startswith("bias")]
    if len(missing) > len(biases) or len(biases) == 1:
        message = f"`state_dict` lacks {missing}"
        raise ValueError(message)
    if biases:
        name, weight = entry[0] or ("", None)
        _check_rank(name, weight, 2)
        like: Any = weight if array_api_compat.is_array_api_obj(weight) else np.asarray(weight)
        zeros = (name, array_api_compat.array_namespace(like).zeros_like(like[:, 0]))
        entry[2:] = [zeros, zeros]
    return [tensor for tensor in entry if tensor is not None]


def _check_sizes(entries: list[list[list[Named]]]) -> None:
    """Refuse tensors whose shapes do not fit one net."""
    (name, first) = entries[0][0][1]
    _check_rank(name, first, 2)
    gates, hidden = first.shape
    if not hidden or gates % hidden:
        message = f"`{name}` has shape {tuple(first.shape)}, expected (G·H, H)"
        raise ValueError(message)
    _check_rank(*entries[0][0][0], 2)
    size = entries[0][0][0][1].shape[1]
    for entry in entries:
        for weights in entry:
            expected = [(gates, size), (gates, hidden), (gates,), (gates,)]
            for (name, tensor), shape in zip(weights, expected, strict=True):
                meaning = "the shape that fits the other tensors"
                check.shape(name, tensor, shape, meaning)
        size = len(entry) * hidden


def _check_tensor(name: str, tensor: Any) -> None:
    if not hasattr(tensor, "shape") or not hasattr(tensor, "dtype"):
        message = (
            f"`{name}` must be a tensor or an array of any library, got {type(tensor).__name__}: "
            "numpy.asarray makes an array of lists of numbers"
        )
        raise TypeError(message)


def _check_rank(name: str, tensor: Any, rank: int) -> None:
    if len(getattr(tensor, "shape", ())) != rank:
        message = f"`{name}` must have {rank} axes, got {getattr(tensor, 'shape', tensor)!r:.80}"
        raise ValueError(message)


def _convert(name: str, tensor: Any, *, xp: Any, device: Any) -> AnyArray:
    """Return a copy of a tensor in `xp`, through the host if it is another library's."""
    tensor = tensor.detach() if hasattr(tensor, "detach") else tensor
    array_like = array_api_compat.is_array_api_obj(tensor)
    own = array_like and array_api_compat.array_namespace(tensor) is xp
    try:
        source = tensor if own else to_numpy(tensor)
        array = xp.asarray(source, device=device, copy=True)
    except TypeError as error:
        message = (
            f"`{name}` has dtype {tensor.dtype} and cannot be converted by way of NumPy "
            f"({error}): first move it to the host, or to a dtype that both libraries have"
        )
        raise TypeError(message) from error
    kept = str(source.dtype).removeprefix("torch.") in str(array.dtype)
    if not xp.isdtype(array.dtype, "real floating") or not kept:
        message = (
            f"`{name}` has dtype {source.dtype}, which became {array.dtype}; expected real "
            "floating-point numbers that the library has (JAX: enable jax_enable_x64 for float64)"
        )
        raise TypeError(message)
    return array
