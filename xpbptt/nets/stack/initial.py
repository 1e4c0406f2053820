"""Initial parameters: drawn on the host in float64, by PyTorch's rule or by others on wish."""

from collections.abc import Callable, Mapping
from functools import partial
from numbers import Real
from typing import Any, NamedTuple

import array_api_compat.numpy as host
import numpy as np

from xpbptt._arrays.tree import is_named_tuple, leaves
from xpbptt._arrays.types import Tree
from xpbptt.cells.cell import Cell
from xpbptt.cells.product import recurrent
from xpbptt.nets.stack import signature
from xpbptt.nets.stack.stack import Stack

Draw = Callable[[np.random.Generator, tuple[int, ...]], Any]


class Rules(NamedTuple):
    """What is drawn otherwise than from U(-1/√H, 1/√H); see `Net.init`."""

    forget_bias: float | None = None
    recurrent: str | Draw | None = None
    input: str | Draw | None = None
    parameters: Mapping[str, Draw] | None = None


def orthogonal(random: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Draw a matrix with orthonormal columns, or rows where it has fewer.

    Parameters
    ----------
    random : numpy.random.Generator
        Where the numbers come from.
    shape : tuple of int
        Rows and columns.

    Returns
    -------
    matrix : numpy.ndarray
        Uniform over such matrices [1]_.

    References
    ----------
    .. [1] F. Mezzadri, "How to generate random matrices from the classical compact groups",
       Notices of the AMS 54, 2007.
    """
    rows, columns = shape
    q, r = np.linalg.qr(random.standard_normal((max(shape), min(shape))))
    q *= np.sign(np.diag(r))  # or the signs of the factorisation are in it
    return q if rows >= columns else q.T


def glorot(random: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Draw a matrix from U(-b, b) with b = √(6 / (rows + columns)) [1]_.

    Parameters
    ----------
    random : numpy.random.Generator
        Where the numbers come from.
    shape : tuple of int
        Rows and columns.

    Returns
    -------
    matrix : numpy.ndarray
        The numbers.

    References
    ----------
    .. [1] X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward
       neural networks", AISTATS 2010.
    """
    bound = (6 / sum(shape)) ** 0.5
    return random.uniform(-bound, bound, shape)


NAMED = {"orthogonal": orthogonal, "glorot": glorot}
MATRICES = {"recurrent": "weight_hh", "input": "weight_ih"}
FORGET = "f"  # the gate that `forget_bias` is of


def draw(net: Stack, random: np.random.Generator, rules: Rules) -> Tree:
    """Return the parameters of a net in float64; `rules` change no number that they are not of.

    Raises
    ------
    TypeError, ValueError
        Where a rule is none, or is of a parameter or gate that the net lacks.
    """
    _check(net, rules)
    entries = []
    for shapes, hidden in zip(signature.parameters(net), net.sizes, strict=True):
        entries.append(_filled(shapes, partial(_uniform, random, hidden**-0.5)))
    found = []
    for entry, hidden in zip(entries, net.sizes, strict=True):
        pair = entry if net.bidirectional else (entry,)
        changed = tuple(_changed(net, each, hidden, random, rules) for each in pair)
        found.append(changed if net.bidirectional else changed[0])
    return tuple(found)


def _uniform(random: np.random.Generator, bound: float, shape: tuple[int, ...]) -> Any:
    return random.uniform(-bound, bound, shape)


def _filled(shapes: Tree, make: Callable[[tuple[int, ...]], Any]) -> Tree:
    if is_named_tuple(shapes):
        return type(shapes)(*(_filled(each, make) for each in shapes))
    if isinstance(shapes, tuple):
        return tuple(_filled(each, make) for each in shapes)
    return make(shapes.shape)


def _changed(
    net: Stack, params: Any, hidden: int, random: np.random.Generator, rules: Rules
) -> Any:
    """Return the parameters of a layer and direction with the rules applied."""
    for name, field in MATRICES.items():
        rule = getattr(rules, name)
        if rule is not None:
            weight = getattr(params, field)
            rows = hidden // net.heads if field == "weight_hh" else hidden
            params = params._replace(**{field: _blocks(name, weight, rows, random, rule)})
    if rules.forget_bias is not None:
        params = _with_forget_bias(net, params, hidden, float(rules.forget_bias))
    for path, function in (rules.parameters or {}).items():
        params = _replaced(params, path.split("."), path, function, random)
    return params


def _blocks(
    name: str, weight: Any, rows: int, random: np.random.Generator, rule: str | Draw
) -> Any:
    """Return a weight that is drawn in blocks of so many rows: its gates, and of W_hh the heads."""
    function = NAMED[rule] if isinstance(rule, str) else rule
    count = weight.shape[0] // rows
    shape = (rows, *weight.shape[1:])
    return np.concatenate([_drawn(name, function, random, shape) for _ in range(count)])


def _drawn(name: str, function: Draw, random: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Return what a rule draws; refuse another shape."""
    numbers = np.asarray(function(random, shape), dtype=np.float64)
    if numbers.shape != shape:
        message = f"`{name}` drew an array of shape {numbers.shape}, expected {shape}"
        raise ValueError(message)
    return numbers


def _with_forget_bias(net: Stack, params: Any, hidden: int, value: float) -> Any:
    """Set the bias of the forget gate, the sum of both, to a value."""
    gates = _gates(net)
    names = [gates[k] for k in recurrent(net.cell)] if isinstance(net.cell, Cell) else gates
    for field, rows_of, number in (("bias_ih", gates, value), ("bias_hh", names, 0.0)):
        if FORGET in rows_of:
            bias, first = getattr(params, field).copy(), rows_of.index(FORGET) * hidden
            bias[first : first + hidden] = number
            params = params._replace(**{field: bias})
    return params


def _replaced(
    params: Any, steps: list[str], path: str, function: Draw, random: np.random.Generator
) -> Any:
    field, *below = steps
    old = getattr(params, field)
    if below:
        return params._replace(**{field: _replaced(old, below, path, function, random)})
    numbers = _drawn(f"parameters[{path!r}]", function, random, old.shape)
    return params._replace(**{field: numbers})


def _gates(net: Stack) -> tuple[str, ...]:
    """Return the names of the gates, in the order of the rows of W_ih."""
    first = signature.parameters(net)[0]
    rows = (first[0] if net.bidirectional else first).weight_ih.shape[0]
    fields: tuple[str, ...] = net.recurrence.gates(host.zeros((1, 1, rows)))._fields
    return fields


def _check(net: Stack, rules: Rules) -> None:
    first = signature.parameters(net)[0]
    entry = first[0] if net.bidirectional else first
    fields = getattr(entry, "_fields", ())
    for name, field in MATRICES.items():
        rule = getattr(rules, name)
        if rule is None:
            continue
        if not callable(rule) and rule not in list(NAMED):  # a list: it may have no hash
            message = (
                f"`{name}` must be one of {sorted(NAMED)} or a function of a generator and a "
                f"shape, got {rule!r}"
            )
            raise ValueError(message)
        if not hasattr(getattr(entry, field, ()), "shape"):
            message = f"`{name}` is the rule of `{field}`, which {net} does not have"
            raise ValueError(message)
    if rules.forget_bias is not None:
        _check_forget_bias(net, rules.forget_bias, fields)
    paths = [path for path, _ in leaves(entry, "")]
    if rules.parameters is not None and not isinstance(rules.parameters, Mapping):
        message = f"`parameters` must be a dict of functions, got {type(rules.parameters).__name__}"
        raise TypeError(message)
    for path, function in (rules.parameters or {}).items():
        if f".{path}" not in paths:
            known = ", ".join(each.removeprefix(".") for each in paths)
            message = f"`parameters` names {path!r}, but a layer of {net} has {known}"
            raise ValueError(message)
        if not callable(function):
            message = f"`parameters[{path!r}]` must be a function, got {function!r}"
            raise TypeError(message)


def _check_forget_bias(net: Stack, value: object, fields: tuple[str, ...]) -> None:
    if isinstance(value, bool) or not isinstance(value, Real):
        message = f"`forget_bias` must be a number or None, got {value!r}"
        raise TypeError(message)
    if not {"weight_ih", "bias_ih", "bias_hh"} <= {*fields}:
        message = f"`forget_bias` is of `bias_ih` and `bias_hh`, which {net} does not have"
        raise ValueError(message)
    if FORGET not in _gates(net):
        message = (
            f"`forget_bias` is of the gate {FORGET}, but the gates of {net} are "
            f"{' '.join(_gates(net))}: give `parameters` a function for the bias"
        )
        raise ValueError(message)
