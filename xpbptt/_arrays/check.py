"""Checks of the arguments of public calls, made before any work is done.

A message names the argument in backticks, says what came and what was expected, and what to do
where that is not obvious. The wrong kind of thing is a TypeError, a wrong value a ValueError.
"""

import inspect
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import array_api_compat
import numpy as np

from xpbptt._arrays.tree import children, is_named_tuple
from xpbptt._arrays.types import AnyArray, Namespace, Tree

Named = tuple[str, Any]

NAMED = 8  # the most numbers that a message lists


def one_namespace(
    named: Iterable[Named], *, floating: bool = True, most: bool = False
) -> Namespace:
    """Return the one namespace of all arrays, which must share library, dtype and device.

    Parameters
    ----------
    named : iterable of (str, array)
        The arrays with the names to use in a message; the first one sets the standard.
    floating : bool
        Whether to refuse integers and booleans.
    most : bool
        Whether to compare with the dtype of most arrays instead of that of the first.
    """
    named = list(named)
    first_name, first = named[0]
    xp = array_namespace(first_name, first)
    device = array_api_compat.device(first)
    if floating and not is_floating(first.dtype, xp=xp):
        message = (
            f"`{first_name}` must be an array of floating-point numbers, got dtype "
            f"{first.dtype}{advice(first.dtype, xp=xp)}"
        )
        raise TypeError(message)
    for name, array in named:
        other = array_namespace(name, array)
        if other is not xp:
            message = (
                f"`{name}` is an array of {library(other)}, but `{first_name}` is one of "
                f"{library(xp)}: convert one of them, nothing is converted silently"
            )
            raise TypeError(message)
        unrecorded(name, array)
    like_name, dtype = first_name, first.dtype
    if most:
        [(dtype, _)] = Counter(array.dtype for _, array in named).most_common(1)
        like_name = next(name for name, array in named if array.dtype == dtype)
    for name, array in named:
        if array.dtype != dtype:
            message = (
                f"`{name}` has dtype {array.dtype}, but `{like_name}` has {dtype}: "
                "all arrays of a call must have the same"
            )
            raise TypeError(message)
        _same_device(name, array, first_name, device)
    return xp


def unrecorded(name: str, array: AnyArray) -> None:
    """Refuse a torch tensor that requires grad: autograd would record the computation."""
    if getattr(array, "requires_grad", False):
        message = (
            f"`{name}` requires grad, and torch would record the call for a backward pass of its "
            f"own: pass `{name}.detach()`"
        )
        raise ValueError(message)


def array_namespace(name: str, array: object) -> Namespace:
    """Return the namespace of `array`; refuse anything but an array."""
    kind = type(array)
    if kind not in _NAMESPACES:
        if not array_api_compat.is_array_api_obj(array) or isinstance(array, np.ma.MaskedArray):
            message = f"`{name}` must be an array of an Array API library, got {kind.__name__}"
            raise TypeError(message)
        _NAMESPACES[kind] = array_api_compat.array_namespace(array)
    return _NAMESPACES[kind]


_NAMESPACES: dict[type, Namespace] = {}  # by the type of the array; looking it up takes a while


def is_floating(dtype: Any, *, xp: Namespace) -> bool:
    """Tell whether a dtype is floating-point."""
    key = (type(dtype), dtype)  # dtypes of two libraries must not be compared
    if key not in _FLOATING:
        _FLOATING[key] = is_kind(dtype, ("real floating", "complex floating"), xp=xp)
    return _FLOATING[key]


def is_kind(dtype: Any, kind: str | tuple[str, ...], *, xp: Namespace) -> bool:
    """Tell whether a dtype is of a kind; one that the namespace does not know is of none.

    So is the bfloat16 of ml_dtypes, which CuPy has arrays of, but its namespace does not know.
    """
    try:
        return bool(xp.isdtype(dtype, kind))
    except (TypeError, ValueError, AttributeError):  # each library raises its own
        return False


def advice(dtype: Any, *, xp: Namespace) -> str:
    """Return what to do with a dtype that is a number's but not one of the namespace."""
    if str(dtype) != "bfloat16":
        return ""
    return (
        f", which the Array API namespace of {library(xp)} does not have: convert all arrays of "
        f"the call to float16 or float32, as by astype({library(xp)}.float32)"
    )


_FLOATING: dict[tuple[type, Any], bool] = {}  # asking the library takes a while


def _same_device(name: str, array: AnyArray, like_name: str, expected: Any) -> None:
    """Refuse an array on another device; under ``jax.jit`` arrays have no device, and pass."""
    device = array_api_compat.device(array)
    if device != expected and device is not None and expected is not None:
        message = (
            f"`{name}` is on device {device}, but `{like_name}` is on {expected}: move one of "
            "them, nothing is moved silently"
        )
        raise ValueError(message)


def library(xp: Namespace) -> str:
    """Return the name of a namespace's library, for messages."""
    name: str = xp.__name__
    return name.removeprefix("array_api_compat.").removesuffix(".numpy")


def beside(
    name: str, array: AnyArray, like_name: str, like: AnyArray, *, kind: str, xp: Namespace
) -> None:
    """Check that an array has a dtype of `kind`, and the library and device of `like`."""
    other = array_namespace(name, array)
    if other is not xp:
        message = (
            f"`{name}` is an array of {library(other)}, but `{like_name}` is one of "
            f"{library(xp)}: convert one of them, nothing is converted silently"
        )
        raise TypeError(message)
    if not is_kind(array.dtype, kind, xp=xp):
        wanted = {"integral": "integers", "bool": "booleans"}[kind]
        message = f"`{name}` must be an array of {wanted}, got dtype {array.dtype}"
        raise TypeError(message)
    _same_device(name, array, like_name, array_api_compat.device(like))


def flags(
    name: str, array: AnyArray, like_name: str, like: AnyArray, axes: str, *, xp: Namespace
) -> None:
    """Refuse anything but booleans with the leading axes of `like`, its library and device."""
    expected = tuple(like.shape[:-1])
    if type(array) is np.ndarray is type(like) and array.dtype == bool and array.shape == expected:
        return  # as the slow checks below
    beside(name, array, like_name, like, kind="bool", xp=xp)
    shape(name, array, expected, axes)


def shape(name: str, array: AnyArray, expected: tuple[int, ...], meaning: str) -> None:
    """Refuse an array whose shape is not `expected`; `meaning` names the axes, as "(T, B, I)"."""
    if tuple(array.shape) != expected:
        message = f"`{name}` has shape {tuple(array.shape)}, expected {meaning} = {expected}"
        raise ValueError(message)


def rank(name: str, array: AnyArray, axes: str) -> None:
    """Refuse an array with another number of axes than `axes`, as "(T, B, I)", names."""
    if len(array.shape) != axes.count(",") + 1:
        came = tuple(array.shape)
        message = f"`{name}` must have the axes {axes}, got shape {came} with {len(came)} axes"
        raise ValueError(message)


def whole(name: str, value: object, *, at_least: int = 1) -> None:
    """Refuse anything but an integer of at least `at_least`."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        message = f"`{name}` must be an int, got {value!r}"
        raise TypeError(message)
    if int(value) < at_least:
        message = f"`{name}` must be at least {at_least}, got {value}"
        raise ValueError(message)


def true_or_false(name: str, value: object) -> None:
    """Refuse anything but True and False."""
    if not isinstance(value, bool):
        message = f"`{name}` must be True or False, got {value!r}"
        raise TypeError(message)


def in_range(name: str, wrong: Sequence[int], expected: str) -> None:
    """Refuse an argument if `wrong`, its numbers out of range, is not empty.

    `expected` is the range, as "from 0 to T = 5". The message lists the first of the numbers.
    """
    if len(wrong):
        named, more = [int(number) for number in wrong[:NAMED]], len(wrong) - NAMED
        rest = f" and {more} more" if more > 0 else ""
        message = f"`{name}` must be {expected}, got {named}{rest}"
        raise ValueError(message)


def warn(message: str) -> None:
    """Warn, and name the line outside this package that led here."""
    frame, level = inspect.currentframe(), 1
    while frame is not None and frame.f_globals.get("__name__", "").startswith("xpbptt"):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UserWarning, stacklevel=level)


def same_structure(name: str, tree: Tree, like_name: str, like: Tree) -> None:
    """Refuse a tree whose structure or shapes differ from those of `like`.

    A list counts as a tuple; a dictionary, a named tuple and None do not.
    """
    came, expected = children(tree), children(like)
    kinds = [(node is None, isinstance(node, dict)) for node in (tree, like)]
    if came is None and expected is None:
        shape(name, tree, tuple(like.shape), f"the shape of `{like_name}`")
        return
    if came is None or expected is None or kinds[0] != kinds[1]:
        message = (
            f"`{name}` must be a tree like `{like_name}`, which is a {type(like).__name__} here, "
            f"got a {type(tree).__name__}"
        )
        raise ValueError(message)
    if came.keys() != expected.keys():
        missing = [path for path in expected if path not in came]
        unknown = [path for path in came if path not in expected]
        message = (
            f"`{name}` must be a tree like `{like_name}`; it lacks {missing} and has {unknown}"
        )
        raise ValueError(message)
    for path, child in came.items():
        same_structure(name + path, child, like_name + path, expected[path])


@dataclass(frozen=True, slots=True)
class Expected:
    """A leaf of the tree that `conform` compares with: the shape and what it means."""

    shape: tuple[int, ...]
    meaning: str


def conform(name: str, tree: Tree, expected: Tree) -> tuple[Tree, list[tuple[str, Any, Expected]]]:
    """Check the structure of a tree against `expected`, tuples with `Expected` as leaves.

    Returns
    -------
    tree : tree
        The same leaves in the tuples and named tuples of `expected`.
    found : list of (str, leaf, Expected)
        Each leaf with its name and the `Expected` that `shapes` compares it with.
    """
    if isinstance(expected, Expected):
        return tree, [(name, tree, expected)]
    kind = type(expected)
    fields = getattr(expected, "_fields", None)
    if not isinstance(tree, (tuple, list)):
        message = f"`{name}` must be a tuple of {len(expected)}, got {type(tree).__name__}"
        raise TypeError(message)
    if len(tree) != len(expected) or (is_named_tuple(tree) and _of(type(tree)) != _of(kind)):
        what = f"a {_of(kind)}" if fields else "one entry a layer"
        if not fields and name.endswith("]"):
            what = "one entry a direction"
        came = f"a {_of(type(tree))}" if is_named_tuple(tree) else f"a tuple of {len(tree)}"
        message = f"`{name}` must be a tuple of {len(expected)}, {what}; got {came}"
        if name.endswith(".extra"):
            message = (
                f"`{name}`, what a cell has besides its matrices and biases, must be "
                f"{f'a {_of(kind)}' if fields else 'empty'}; got {came}: make the net to which "
                "these parameters belong"
            )
        raise ValueError(message)
    children, found = [], []
    for index, (child, like) in enumerate(zip(tree, expected, strict=True)):
        path = f"{name}.{fields[index]}" if fields else f"{name}[{index}]"
        child, below = conform(path, child, like)  # noqa: PLW2901 - the same, conforming
        children.append(child)
        found.extend(below)
    return kind(*children) if fields else tuple(children), found


def _of(kind: Any) -> str:
    """Return the name and fields of a type of named tuples.

    Compared instead of the type itself, which is a new one when a notebook's cell is run again.
    """
    return f"{kind.__module__}.{kind.__qualname__}{getattr(kind, '_fields', '')}"


def fitting(expected: Tree) -> Callable[[Tree, AnyArray], bool]:
    """Return a quick test of whether a tree passes `conform` and `shapes`.

    The test takes the tree and an array whose library, dtype and device its leaves must share.
    A tree that fails may still be valid, as one with lists for tuples: the slow checks decide.
    """
    kind, count = type(expected), len(expected)
    numbered = list(enumerate(expected))
    wanted = [(k, child.shape) for k, child in numbered if isinstance(child, Expected)]
    below = [(k, fitting(child)) for k, child in numbered if not isinstance(child, Expected)]

    def fits(tree: Tree, like: AnyArray) -> bool:
        if type(tree) is not kind or len(tree) != count:
            return False
        library, dtype = type(like), like.dtype
        for k, shape in wanted:
            leaf = tree[k]
            if type(leaf) is not library or leaf.shape != shape or leaf.dtype != dtype:
                return False
        for k, fit in below:
            if not fit(tree[k], like):
                return False
        return library is np.ndarray or _together((tree[k] for k, _ in wanted), like)

    return fits


def alike(array: AnyArray, like: AnyArray, shape: tuple[int, ...]) -> bool:
    """Tell quickly whether an array has that shape, and library, dtype and device of `like`.

    Where it says no, the slow checks tell.
    """
    library = type(like)
    return (
        type(array) is library
        and array.shape == shape
        and bool(array.dtype == like.dtype)
        and (library is np.ndarray or _together((array, like), like))
    )


def _together(arrays: Iterable[AnyArray], like: AnyArray) -> bool:
    """Tell whether arrays are on the device of `like`, and autograd records none of them."""
    device = getattr(like, "device", None)
    return not getattr(like, "requires_grad", False) and all(
        getattr(array, "device", None) == device and not getattr(array, "requires_grad", False)
        for array in arrays
    )


def shapes(found: Iterable[tuple[str, Any, Expected]]) -> None:
    """Refuse leaves that `conform` found with another shape than expected."""
    for name, array, expected in found:
        shape(name, array, expected.shape, expected.meaning)
