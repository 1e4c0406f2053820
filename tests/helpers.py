"""What tests share."""

from contextlib import ExitStack, contextmanager
from itertools import combinations, product
from math import prod
from random import Random
from unittest.mock import patch

import numpy as np
import pytest

import xpbptt
from xpbptt.bptt import loop
from xpbptt.bptt.engines import compiled, compiled_back
from xpbptt.bptt.layers.passes import Pass, steps

MANY = 5000  # rows of a test, of which not all are looked at

CELLS = {
    "rnn-tanh": xpbptt.RNN,
    "rnn-relu": lambda *sizes, **options: xpbptt.RNN(*sizes, nonlinearity="relu", **options),
    "lstm": xpbptt.LSTM,
    "gru": xpbptt.GRU,
    "gru-before": lambda *sizes, **options: xpbptt.GRU(*sizes, reset_after=False, **options),
}


def cover(names, *axes, strength=2, **options):
    """Parametrize a test so that every `strength` values of different axes come up together.

    The rows are picked greedily: each next one has most of what has not come up, of very many rows
    the best of some. Two is pairwise; with one, each value comes up at least once.
    """
    columns = list(combinations(range(len(axes)), strength))
    sizes = [len(axis) for axis in axes]
    rows = list(product(*map(range, sizes))) if prod(sizes) <= MANY else None

    def covered(row):
        return {(column, tuple(row[k] for k in column)) for column in columns}

    def each(column):
        return ((column, values) for values in product(*(range(sizes[k]) for k in column)))

    missing, picked = {one for column in columns for one in each(column)}, []
    while missing:
        drawn = rows or _rows_with(min(missing), sizes, len(picked))
        best = max(drawn, key=lambda row: len(covered(row) & missing))
        missing -= covered(best)
        picked.append(tuple(axis[k] for axis, k in zip(axes, best, strict=True)))
    return pytest.mark.parametrize(names, picked, ids=_label, **options)


def _rows_with(one, sizes, seed):
    """Draw some of very many rows, in all of which one combination comes up."""
    random, rows = Random(seed), []
    for _ in range(60):
        row = [random.randrange(size) for size in sizes]
        for k, value in zip(*one, strict=True):
            row[k] = value
        rows.append(tuple(row))
    return rows


def _label(value):
    if isinstance(value, str):
        return value
    name = getattr(value, "__name__", None)
    return name or (None if isinstance(value, tuple) else repr(value))


def host(array):
    """Return an array of any library as NumPy's."""
    return np.asarray(array.get() if hasattr(array, "get") else array)  # CuPy's own way


def map_arrays(function, *trees):
    """Apply a function to the leaves of trees, written again here so that tests stand alone."""
    first = trees[0]
    if not isinstance(first, tuple):
        return function(*trees)
    children = [map_arrays(function, *nodes) for nodes in zip(*trees, strict=True)]
    return type(first)(*children) if hasattr(first, "_fields") else tuple(children)


def flatten(tree):
    """List the leaves of a tree."""
    return (
        [leaf for child in tree for leaf in flatten(child)] if isinstance(tree, tuple) else [tree]
    )


@contextmanager
def largest_buffer(elements):
    """Have compiled passes run in chunks whose gates are at most so many elements."""
    most_steps = compiled.most_steps

    def limited(at_once, inputs):
        return most_steps(elements, inputs)

    with ExitStack() as stack:
        for module in (compiled, compiled_back):
            stack.enter_context(patch.object(module, "most_steps", limited))
        yield


def plant(monkeypatch, function, change):
    """Replace a pass of the engines by ``change(engine, function, *arguments, **options)``.

    Both are plain functions: the loops of `function` are run as it is called.
    """
    choose = loop.choose

    def planted(*arguments, **options):
        engine = choose(*arguments, **options)
        real = Pass(getattr(engine, function))

        def changed(*arguments, **options):
            return change(engine, real, *arguments, **options)

        return engine._replace(**{function: steps(changed)})

    monkeypatch.setattr(loop, "choose", planted)
