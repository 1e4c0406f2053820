"""What running some steps takes on the way, in elements of one sequence.

It bounds all engines: `eager` makes the most, compiled cells less.
"""

from functools import lru_cache
from math import prod
from typing import NamedTuple

import array_api_compat.numpy as np

from xpbptt._arrays.tree import leaves, map_shapes
from xpbptt.bptt.engines import chunks
from xpbptt.bptt.layers.dropout import HASHING
from xpbptt.bptt.layers.memory import Sizes
from xpbptt.bptt.layers.noise import Rates
from xpbptt.cells.recurrence import Recurrence

WIDE = 5  # times the gradient of a segment, while it is added to others in twice the width
SINGLE = 4  # bytes of an element in which sums are made


class Footprint(NamedTuple):
    """The elements that one step of one sequence makes: its state, residuals, inputs, record."""

    state: int
    residuals: int
    inputs: int
    record: int


@lru_cache
def footprint(of: Recurrence, inputs: int, hidden: int) -> Footprint:
    """Count by running one step of zeros."""
    params = map_shapes(np.zeros, of.shapes(inputs, hidden))
    state = of.state(*(np.zeros((1, columns)) for columns in of.parts(hidden)))
    (u,) = of.project(params, np.zeros((1, 1, inputs + of.side)), xp=np)
    new, residuals = of.step(of.prepare(params, 1, xp=np), u, state, xp=np)
    record, _ = of.step_backward(params, residuals, state, new, state, xp=np)
    trees = (tuple(state), tuple(residuals), u, tuple(record))
    return Footprint(*(sum(leaf.size for _, leaf in leaves(tree)) for tree in trees))


def noisy(one: Footprint, rates: Rates, sizes: Sizes) -> Footprint:
    """Return the footprint with noise: what the cell makes of the state, and the zones."""
    if rates.recurrent and not rates.zoneout:
        return one._replace(record=one.record + sizes.hidden)  # what W_hh read, for its gradient
    if not rates.zoneout:
        return one
    zones = one.state * (HASHING + 1) // sizes.itemsize
    return one._replace(
        residuals=one.residuals + one.state,
        inputs=one.inputs + zones,
        record=one.record + sizes.hidden + zones,
    )


def prepared(one: Footprint, sizes: Sizes) -> int:
    """Return the size of the prepared weights, a copy of those that the state is multiplied by."""
    return int(sizes.hidden * one.inputs)


def advancing(one: Footprint, sizes: Sizes, segment: int) -> int:
    """Return what `advance` needs, a chunk at a time, where segments have so many steps."""
    return min(chunks.advancing(segment), sizes.length) * (one.inputs + _copied(sizes) + one.state)


def recording(one: Footprint, sizes: Sizes, steps: int) -> int:
    """Return what `record` needs beside the segment."""
    return steps * (one.inputs + _copied(sizes))


def segment(one: Footprint, steps: int) -> int:
    """Return the size of a segment with its residuals."""
    return steps * (one.state + one.residuals) + one.state


def rewinding(one: Footprint, sizes: Sizes, steps: int) -> int:
    """Return what `rewind` needs beside the segment and its residuals."""
    dy = sizes.hidden if sizes.masked or sizes.views else 0
    dx = sizes.inputs if steps < sizes.length else 0  # of all steps it is the layer's
    states = _starts(one, sizes)
    if sizes.every and sizes.views:
        states += one.state  # their gradients
    return steps * (one.record + _copied(sizes) + dy + dx + states)


def recomputing(one: Footprint, sizes: Sizes, steps: int) -> int:
    """Return what `rewind` needs to compute residuals again, beside them."""
    return steps * (2 * one.inputs + 2 * one.state + _starts(one, sizes) + _copied(sizes))


def gradients(of: Recurrence, sizes: Sizes) -> int:
    """Return what the gradients of the parameters take while those of segments are added up."""
    shapes = of.shapes(sizes.inputs, sizes.hidden)
    once = sum(int(size) for _, size in leaves(map_shapes(prod, shapes)))
    return once * (WIDE if sizes.itemsize < SINGLE else 1)


def _starts(one: Footprint, sizes: Sizes) -> int:
    """Return what the states that steps start from take, where they are not those before."""
    return one.state if sizes.resets else 0


def _copied(sizes: Sizes) -> int:
    """Return what of a step's input is copied, to blank it or to have it in order."""
    return sizes.inputs if sizes.masked or sizes.views else 0
