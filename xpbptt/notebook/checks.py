"""Checks of the arguments of the notebook's functions, made before any work is done."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from xpbptt._arrays import check
from xpbptt._arrays.types import AnyArray, Namespace


class Cell(NamedTuple):
    """The contents of a cell's dictionary and cache: the parameters' axes, the cache's names.

    An earlier parameter sets the sizes for a later one.
    """

    forward: str
    parameters: dict[str, str]
    cache: tuple[str, ...]


RNN = Cell(
    "rnn_cell_forward",
    {"Wax": "n_a, n_x", "Waa": "n_a, n_a", "Wya": "n_y, n_a", "ba": "n_a, 1", "by": "n_y, 1"},
    ("a_next", "a_prev", "xt", "parameters"),
)
LSTM = Cell(
    "lstm_cell_forward",
    dict.fromkeys(("Wf", "Wi", "Wc", "Wo"), "n_a, n_a + n_x")
    | dict.fromkeys(("bf", "bi", "bc", "bo"), "n_a, 1")
    | {"Wy": "n_y, n_a", "by": "n_y, 1"},
    ("a_next", "c_next", "a_prev", "c_prev", "ft", "it", "cct", "ot", "xt", "parameters"),
)

Found = tuple[str, AnyArray, str]  # an array with its name and its axes


def check_parameters(name: str, parameters: Mapping[str, AnyArray], cell: Cell) -> list[Found]:
    """Check a dictionary of a cell's parameters; return its arrays."""
    if not isinstance(parameters, Mapping):
        message = f"`{name}` must be a dict of arrays, got {type(parameters).__name__}"
        raise TypeError(message)
    missing = [key for key in cell.parameters if key not in parameters]
    unknown = [key for key in parameters if key not in cell.parameters]
    if missing or unknown:
        message = (
            f"`{name}` is missing the keys {missing or 'none'}, and its unknown keys are "
            f"{unknown or 'none'}: {cell.forward} takes exactly {list(cell.parameters)}"
        )
        raise ValueError(message)
    return [(f'{name}["{key}"]', parameters[key], axes) for key, axes in cell.parameters.items()]


def check_cache(name: str, cache: tuple[Any, ...], cell: Cell) -> list[Found]:
    """Check a cache of a cell; return its arrays."""
    expected = f"({', '.join(cell.cache)}), which {cell.forward} returns"
    if not isinstance(cache, tuple):
        message = f"`{name}` must be a tuple {expected}, got {type(cache).__name__}"
        raise TypeError(message)
    if len(cache) != len(cell.cache):
        message = f"`{name}` has {len(cache)} entries, expected the {len(cell.cache)} of {expected}"
        raise ValueError(message)
    *entries, parameters = cache
    found = check_parameters(f"{name}[{len(entries)}]", parameters, cell)
    for index, (entry, array) in enumerate(zip(cell.cache, entries, strict=False)):
        found.append((f"{name}[{index}]", array, "n_x, m" if entry == "xt" else "n_a, m"))
    return found


def check_sequence(da: AnyArray, caches: Any, cell: Cell) -> Namespace:
    """Return the namespace of a sequence's caches and gradient, having checked them."""
    match caches:
        case (list(steps), x):
            pass
        case _:
            came = type(caches).__name__
            sequence = cell.forward.replace("_cell", "")
            message = f"`caches` must be the pair (list of caches, x) of {sequence}, got a {came}"
            if isinstance(caches, tuple):
                message += f" of {len(caches)}"
            raise TypeError(message)
    found = []
    for t, cache in enumerate(steps):
        found += check_cache(f"caches[0][{t}]", cache, cell)
    xp = check_arrays(*found, ("caches[1]", x, "n_x, m, T_x"), ("da", da, "n_a, m, T"))
    T_x, T = x.shape[2], da.shape[2]
    if len(steps) != T_x:
        message = (
            f"`caches` is a list of {len(steps)} caches, but an x of {T_x} steps: pass it whole"
        )
        raise ValueError(message)
    if T_x < T:
        message = f"`da` has {T} time steps, expected at most the {T_x} of `caches`"
        raise ValueError(message)
    return xp


def check_arrays(*found: Found) -> Namespace:
    """Return the one namespace of arrays whose sizes fit together; the first sets the standard."""
    xp = check.one_namespace([(name, array) for name, array, _ in found])
    sizes = {"1": (1, "")}
    for name, array, axes in found:
        check.rank(name, array, f"({axes})")
        for axis, size in zip(axes.split(", "), array.shape, strict=True):
            expected, source = sizes.setdefault(axis, (size, name))
            if size != expected or (size == 0 and axis.startswith("n_")):
                reason = f"{axis} is {expected} in `{source}`" if source else "a bias is a column"
                if size == expected:
                    reason = f"{axis} is at least 1"
                came = tuple(array.shape)
                message = f"`{name}` has shape {came}, expected ({axes}): {reason}"
                raise ValueError(message)
        if axes == "n_a, n_a + n_x":
            sizes.setdefault("n_x", (array.shape[1] - array.shape[0], name))
    return xp
