"""Checks of one function of a cell: what it does to its arguments, and what it returns.

In every function here `origin` names the function of the cell in a message.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import array_api_compat
import numpy as np

from xpbptt._arrays.check import Expected
from xpbptt._arrays.tree import is_named_tuple, leaves, map_leaves
from xpbptt._arrays.types import AnyArray, Tree
from xpbptt._arrays.writes import writes
from xpbptt.cells.product import Absent


class WriteError(ValueError):
    """A function of a cell writes into one of its arguments."""


def call(origin: str, function: Callable[..., Any], given: dict[str, Tree], **options: Any) -> Any:
    """Call a function of a cell, and refuse one that writes into an argument.

    NumPy's arrays are read-only during the call, and torch counts the writes to its own; a write
    to an array of another library is not detected.

    Parameters
    ----------
    origin : str
        The function's name in a message.
    function : callable
        The function.
    given : dict of str to tree of arrays
        The arguments by position, with their names.
    **options : dict
        The arguments by keyword.

    Returns
    -------
    returned : object
        What the function returned.
    """
    named = [leaf for name, tree in (given | options).items() for leaf in leaves(tree, name)]
    before = [writes(leaf) for _, leaf in named]
    for _, leaf in named:
        if isinstance(leaf, np.ndarray):
            leaf.setflags(write=False)
    try:
        returned = function(*given.values(), **options)
    except Exception as error:
        if _is_of_a_write(error):
            raise _write(origin, _culprit(function, given, options)) from error
        error.add_note(f"raised by {origin} when it was tried on small arrays before its first use")
        raise
    for (path, leaf), count in zip(named, before, strict=True):
        if writes(leaf) != count:
            raise _write(origin, path)
    return returned


def values(origin: str, returned: Any, names: Sequence[str]) -> Sequence[Any]:
    """Refuse anything but a tuple with a value for each name."""
    if not isinstance(returned, (tuple, list)) or len(returned) != len(names):
        message = (
            f"{origin} must return {len(names)} values, {', '.join(names)}; got {_kind(returned)}"
        )
        raise TypeError(message)
    return returned


def named_tuple(
    origin: str,
    name: str,
    value: Any,
    wanted: Any,
    like: AnyArray,
    *,
    may_be_none: Sequence[int] = (),
    only: Sequence[int] | None = None,
) -> None:
    """Refuse anything but a named tuple like `wanted`, with arrays of the dtype of `like`.

    `wanted` has an `Expected` in each field, or another named tuple of them. The fields of the
    numbers in `may_be_none` may be None, and those that `only` does not number may hold anything.
    """
    fields = wanted._fields
    if not is_named_tuple(value) or value._fields != fields:
        message = (
            f"{origin} must return `{name}` as a named tuple with the fields {_listed(fields)}, "
            f"got {_kind(value)}"
        )
        raise TypeError(message)
    for k, ((path, part), expected) in enumerate(zip(_parts(name, value), wanted, strict=True)):
        if (part is None and k in may_be_none) or (only is not None and k not in only):
            continue
        if expected == () == part:  # no extra parameters
            continue
        if is_named_tuple(expected):
            named_tuple(origin, path, part, expected, like)
            continue
        array(origin, path, part, expected, like)
        if part.dtype != like.dtype:
            message = (
                f"{origin} returned `{path}` with dtype {part.dtype} for arguments of "
                f"{like.dtype}, expected the same: Python numbers keep it, NumPy scalars may not"
            )
            raise TypeError(message)


def tuple_of_rows(origin: str, name: str, value: Any, lead: Expected, like: AnyArray) -> None:
    """Refuse anything but a tuple of arrays whose shapes begin with that of `lead`."""
    if not isinstance(value, (tuple, list)):
        message = (
            f"{origin} must return `{name}` as a tuple of arrays, (a,) for one and () for none, "
            f"got {_kind(value)}"
        )
        raise TypeError(message)
    for path, part in _parts(name, value):
        begins = tuple(getattr(part, "shape", ()))[: len(lead.shape)] == lead.shape
        array(origin, path, part, None if begins else lead, like)


def array(origin: str, path: str, value: Any, expected: Expected | None, like: AnyArray) -> None:
    """Refuse anything but an array of the library of `like`; None stands for any shape."""
    if isinstance(value, Absent):
        value.refuse()
    if not array_api_compat.is_array_api_obj(value) or (
        array_api_compat.array_namespace(value) is not array_api_compat.array_namespace(like)
    ):
        message = f"{origin} must return `{path}` as an array of the library of its arguments, "
        raise TypeError(message + f"got {_kind(value)}")
    if expected is not None and tuple(value.shape) != expected.shape:
        message = (
            f"{origin} returned `{path}` with shape {tuple(value.shape)}, expected "
            f"{expected.meaning} = {expected.shape} on the small arrays it was tried on"
        )
        raise ValueError(message)


def _parts(name: str, value: Any) -> list[tuple[str, Any]]:
    """Return the parts of a tuple with the expressions that reach them."""
    if is_named_tuple(value):
        return [(f"{name}.{field}", part) for field, part in zip(value._fields, value, strict=True)]
    return [(f"{name}[{k}]", part) for k, part in enumerate(value)]


def _kind(value: Any) -> str:
    """Say what a value is."""
    if value is None:
        return "None"
    if is_named_tuple(value):
        return f"the named tuple {type(value).__name__} with the fields {_listed(value._fields)}"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    if array_api_compat.is_array_api_obj(value):
        return f"an array of shape {tuple(value.shape)} of {type(value).__module__}"
    return f"a {type(value).__name__}"


def _listed(fields: Iterable[str]) -> str:
    return f"({', '.join(fields)})"


def _is_of_a_write(error: Exception) -> bool:
    """Tell whether NumPy refused a write to a read-only array."""
    return isinstance(error, ValueError) and "read-only" in str(error)


def _culprit(function: Callable[..., Any], given: dict[str, Tree], options: dict[str, Any]) -> str:
    """Find the argument that a function writes into, by making one at a time read-only."""
    paths = [path for name, tree in (given | options).items() for path, _ in leaves(tree, name)]
    for position, path in enumerate(paths):
        fresh = map_leaves(_copied, given | options)
        for k, (_, leaf) in enumerate(leaves(fresh)):
            if k == position and isinstance(leaf, np.ndarray):
                leaf.setflags(write=False)
        by_keyword = {name: fresh.pop(name) for name in options}
        try:
            function(*fresh.values(), **by_keyword)
        except ValueError as error:
            if _is_of_a_write(error):
                return path
    return "an argument"


def _copied(leaf: Any) -> Any:
    return leaf.copy() if isinstance(leaf, np.ndarray) else leaf


def _write(origin: str, path: str) -> WriteError:
    message = (
        f"{origin} writes into its argument `{path}`: make a new array instead, as `a = a + b`"
    )
    return WriteError(message)
