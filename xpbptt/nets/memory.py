"""How much memory the passes over a sequence take, counted before anything is run.

All sizes are in numbers, not bytes. What is counted is what there is on a library whose `flip` is
a view, as NumPy's and CuPy's are; Python's objects are not.
"""

from functools import lru_cache
from math import prod
from typing import NamedTuple

import array_api_compat.numpy as np

from xpbptt._arrays.tree import leaves, map_shapes
from xpbptt.bptt.engines.chunks import CHUNK
from xpbptt.bptt.strategies import Plan
from xpbptt.nets.stack import Stack

STEPS = 2  # as much as so many steps make is allowed for what a single step has on its way
DROPPING = 5  # arrays of the size of what is dropped from, while the dropped are picked
WIDE = 5  # times the gradient of a segment, while it is added to others in twice the width


class Footprint(NamedTuple):
    """The numbers that one step of one sequence makes: its state, residuals, inputs, record."""

    state: int
    residuals: int
    inputs: int
    record: int

    @property
    def ratio(self) -> float:
        """What a step of a segment needs while it is gone back over, relative to a state."""
        return sum(self) / self.state


@lru_cache
def footprint(net: Stack) -> Footprint:
    """Count by running one step of zeros."""
    cell, size = net.recurrence, net.hidden_size
    params = map_shapes(np.zeros, cell.shapes(net.input_size, size))
    state = cell.state(*(np.zeros((1, size)) for _ in cell.state._fields))
    (inputs,) = cell.project(params, np.zeros((1, 1, net.input_size)), xp=np)
    new, residuals = cell.step(cell.prepare(params, 1, xp=np), inputs, state, xp=np)
    record, _ = cell.step_backward(params, residuals, state, new, state, xp=np)
    trees = (tuple(state), tuple(residuals), inputs, tuple(record))
    return Footprint(*(sum(leaf.size for _, leaf in leaves(tree)) for tree in trees))


class Memory:
    """What a net with a plan keeps and needs, for T steps of B sequences.

    Parameters
    ----------
    net : Stack
        The net.
    plan : Plan
        What is kept, and how the backward pass comes back.
    length, batch : int
        T and B.
    masked : bool
        Whether there is a mask.
    half : bool
        Whether the numbers are of half precision.
    """

    def __init__(
        self, net: Stack, plan: Plan, length: int, batch: int, *, masked: bool, half: bool
    ) -> None:
        self.net, self.plan, self.length, self.batch, self.masked = net, plan, length, batch, masked
        self.adding = WIDE if half else 1
        self.one = footprint(net)
        self.longest = plan.longest
        self.reruns = any(map(plan.runs_again, plan.moves()))
        self.sweeps = any(move.start > move.source for move in plan.moves())
        self.whole = self.longest == length  # one move is all

    @property
    def kept(self) -> int:
        """What the forward pass keeps for the backward pass."""
        layers = self.net.num_layers
        return self.batch * (layers * self.net.directions * self._run + (layers - 1) * self._source)

    @property
    def peak(self) -> int:
        """The most there is at any time beside parameters, inputs, `y` and final gradients."""
        steps = STEPS * self.batch * sum(self.one)
        return steps + max(self.kept, *self._forward(), *self._backward())

    @property
    def _run(self) -> int:
        """What a layer keeps of one sequence in one direction."""
        tail = self.length - self.plan.tail
        states = len(self.plan.snapshots) + tail + 1
        return states * self.one.state + (tail * self.one.residuals if self.plan.residuals else 0)

    @property
    def _bare(self) -> bool:
        """Whether the output of a run is that of the layer as it is."""
        return not (self.masked or self.net.bidirectional)

    @property
    def _source(self) -> int:
        """What a layer keeps of the output of the one below, apart from the states of that one."""
        new = not self._bare or self.plan.tail > 0 or self.net.dropout > 0
        return new * self.length * self._width

    @property
    def _width(self) -> int:
        return self.net.directions * self.net.hidden_size

    def _columns(self, layer: int) -> int:
        """Return the numbers of an input of a layer."""
        return self._width if layer else self.net.input_size

    def _copied(self, layer: int) -> int:
        """Return what of a step's input is copied, to blank it or to have it in order."""
        return self._columns(layer) if self.masked or self.net.bidirectional else 0

    def _forward(self) -> list[int]:
        """Return the sizes at the moments of the forward pass that may be the largest."""
        moments, held, outputs = [], 0, (self.length + 1) * self.net.hidden_size
        for layer in range(self.net.num_layers):
            if layer:
                held += self._source
                if self.net.dropout:
                    moments.append(self.batch * (held + DROPPING * self.length * self._width))
            top = layer == self.net.num_layers - 1
            made = 0
            for _ in range(self.net.directions):
                held += self._run
                tape = outputs * (self.plan.tail > 0)
                is_y = top and not self.net.bidirectional
                running = tape * (not is_y) + self._running(layer)
                blanking = outputs * (not is_y) if self.masked else 0
                work = max(running, blanking)
                moments.append(self.batch * (held + made + work) + self._square)
                made += max(tape, outputs * self.masked)
            made += outputs * self.net.directions * self.net.bidirectional
            made -= outputs * self.net.directions * top
            moments.append(self.batch * (held + made))
        return moments

    def _running(self, layer: int) -> int:
        """Return what running over the longest part of a sequence needs on its way."""
        if self.plan.tail == 0 and not self.plan.residuals:
            return self._chunk(layer)
        recording = (self.length - self.plan.tail) * (self.one.inputs + self._copied(layer))
        return max(recording, self._chunk(layer) if self.plan.tail else 0)

    def _chunk(self, layer: int) -> int:
        """Return what running over some steps needs where nothing of them is kept."""
        step = self.one.inputs + self._copied(layer) + self.one.state
        return min(CHUNK, self.length) * step

    def _backward(self) -> list[int]:
        """Return the sizes at the moments of the backward pass that may be the largest."""
        moments = []
        for layer in reversed(range(self.net.num_layers)):
            dx, dy = self._columns(layer), self._width
            shapes = self.net.recurrence.shapes(dx, self.net.hidden_size)
            dparams = sum(size for _, size in leaves(map_shapes(prod, shapes)))
            between = self.length * dy if layer < self.net.num_layers - 1 else 0
            for direction in range(self.net.directions):
                slabs = self.length * dx * (direction + (layer > 0))
                work = between + slabs + self._retracing(layer)
                extra = self._square * self.reruns + dparams * self.adding * (not self.whole)
                moments.append(self.kept + self.batch * work + extra)
        return moments

    def _retracing(self, layer: int) -> int:
        """Return what going back over the longest segment needs."""
        one, copied = self.one, self._copied(layer)
        back = one.record + copied + self.net.hidden_size * (self.net.bidirectional or self.masked)
        if not self.whole:
            back += self._columns(layer)
        if not self.plan.residuals:
            again = 2 * one.inputs + 2 * one.state + copied
            return self.longest * (one.residuals + max(again, back))
        if not self.reruns:
            return self.longest * back
        segment = self.longest * (one.state + one.residuals) + one.state
        segment += self.longest * max(one.inputs + copied, back)
        return max(segment, self._chunk(layer) if self.sweeps else 0)

    @property
    def _square(self) -> int:
        """The weights that the state is multiplied with, which are transposed to run forward."""
        return self.net.hidden_size * self.one.inputs
