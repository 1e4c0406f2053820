"""The loop `sequence` for NumPy's arrays: a whole sequence in one compiled call a thread."""

import struct
from math import inf
from typing import Any, NamedTuple, cast

import numpy as np

from xpbptt._arrays.types import AnyArray
from xpbptt.cells.projection import Projection
from xpbptt.kernels.llvm import call, library, panels, product, projection
from xpbptt.kernels.llvm.build import load
from xpbptt.kernels.llvm.call import address, addresses, plain, words
from xpbptt.kernels.llvm.function import Step
from xpbptt.kernels.llvm.machine import features
from xpbptt.kernels.llvm.sequence import (
    WIDE,
    Backward,
    Forward,
    Panel,
    backward_names,
    beside,
    forward_names,
    padded,
    panel,
    pointers,
    products,
)
from xpbptt.kernels.llvm.vectors import vector
from xpbptt.kernels.places import DM, PROJECTED, M
from xpbptt.kernels.program import Program
from xpbptt.kernels.programs import Task
from xpbptt.kernels.target import Buffers, HandBack, Kernel, Run

KEPT = 2**18  # bytes of the input's products that are made at once, and stay in the cache


class Compiled(NamedTuple):
    """A loop over time.

    Attributes
    ----------
    function : callable
        It takes the address of its words.
    own : tuple of str
        The buffers whose addresses are the last words, but for those that are carried.
    axes : tuple of int or None
        The axis of the sequences of all buffers whose addresses are the last words.
    copies : bool
        Whether the loop forward needs memory for a copy of what W_hh multiplies.
    padded : tuple of str
        The buffers whose rows the loop back holds padded to whole vectors.
    sums : bool
        Whether the program takes sums over the hidden units.
    """

    function: Run
    own: tuple[str, ...]
    axes: tuple[int | None, ...]
    copies: bool = False
    padded: tuple[str, ...] = ()
    sums: bool = False


def compile_(task: Task, dtype: str) -> Any:
    """Compile a program, with the loop over time around it where it is one of all steps."""
    kind, program = vector(dtype, features()), task.program
    text, axes = [library.library(kind, program)], _axes(task)
    if task.kind in {"record", "advance"}:
        text += [products(kind, task), Forward(kind, task).text()]
        if task.projection:
            text += [projection.products(kind, WIDE)]
        copies = bool(task.given)
        own = forward_names(task).addresses[len(pointers(task)) : -1 if copies else None]
        own_axes = tuple(map(axes.get, own))
        return Compiled(load("\n".join(text)), own, own_axes, copies=copies, sums=program.sums)
    if task.kind in {"back", "watch"}:
        if task.recurrent:
            text += [product.product("product", kind, WIDE)]
        if task.projection:
            text += [projection.products(kind, WIDE)]
        text += [Backward(kind, task).text()]
        held = padded(task)
        weights = bool(task.recurrent) + bool(task.projection)
        own = backward_names(task).addresses[weights + len(held) :]
        carried = (0,) * len(held)
        own_axes = (*carried, *map(axes.get, own))
        made = load("\n".join(text))
        return Compiled(made, own, own_axes, padded=held, sums=program.sums)
    return step(program, load("\n".join([*text, Step(kind, task).text()])))


def _axes(task: Task) -> dict[str, int]:
    """Return the axis of the sequences of each buffer that has one, by its name."""
    programs = [each.program for each in (task, task.projection) if each]
    known = [each for program in programs for some in program.buffers() for each in some]
    axes = {each.name: each.axes.index("b") for each in known if "b" in each.axes}
    of_the_loops = {name: 1 if name == "reset" else 0 for name in (*task.given, *task.given_back)}
    of_the_loops |= {each.name: 0 for each in (M, PROJECTED, DM)}
    return axes | of_the_loops


def step(program: Program, function: Run) -> Run:
    """Return ``run(t, *buffers)`` around a compiled step."""
    read, written = program.buffers()
    place, sized = next((k, each) for k, each in enumerate([*read, *written]) if "bj" in each.axes)

    def run(t: int, *arrays: AnyArray) -> None:
        batch, width = arrays[place].shape[-2:]
        held = [plain(array) for array in arrays]  # those that are written are plain
        function(words([t, batch, width // sized.blocks, *addresses(held)]))

    return run


def pack(gates: int, params: Any, steps: int) -> tuple[AnyArray, ...]:  # noqa: ARG001 - the contract's
    """Return the weights in panels."""
    weight_ih, weight_hh, *_ = params
    packed = panels.forward(weight_ih, panel(gates))
    if isinstance(weight_hh, tuple):  # no gate has a product
        return (packed,)
    recurrent = weight_hh.shape[0] // (weight_ih.shape[0] // gates)
    both = packed, panels.forward(weight_hh, beside(gates, recurrent))
    if isinstance(params.extra, Projection):
        return (*both, panels.forward(params.extra.weight_hr, Panel(1, WIDE)))
    return both


def forward(
    kernel: Kernel, x: AnyArray, params: Any, weights: tuple[AnyArray, ...], buffers: Buffers
) -> None:
    """Run all steps in order; see `Loop`."""
    run, task = cast("Compiled", kernel.run), kernel.task
    steps, batch, inputs = x.shape
    gates, read = params.weight_ih.shape[0], buffers[task.read].shape[2]
    hidden = gates // task.gates
    x = _readable(x, params.weight_ih.dtype)
    size, (x_step, x_row, _) = x.itemsize, x.strides
    (count, _, columns), wide = weights[0].shape, sum(each.shape[2] for each in weights[1:2])
    wide *= count if run.sums else 1  # panels that are kept
    own = [buffers[name] for name in run.own]
    places = addresses([x, *weights, *own])
    # The rows of a state are those of all steps, or of two in turn.
    kept = [-1 if buffers[name].shape[0] > steps else 1 for name in task.states]
    frames, held = [], []
    work = gates * inputs + task.recurrent * hidden * read
    for rows in call.parts(batch, steps * batch * work):
        width, first = rows.stop - rows.start, rows.start
        chunk = min(steps, max(1, KEPT // (count * columns * size * width)))
        copy = read if run.copies else 0
        scratch = np.empty((count * chunk * columns + wide + copy) * width, dtype=x.dtype)
        held.append(scratch)
        start, panels_, others = places[0], places[1 : 1 + len(weights)], places[1 + len(weights) :]
        if first:
            start, others = start + first * x_row, _moved(run, others, own, first)
        strides = x_step // size, x_row // size
        numbers = steps, batch, width, inputs, hidden, read, chunk, *strides, *kept
        v = address(scratch)
        u = v + (wide + copy) * width * size
        started = (v + wide * width * size,) if copy else ()
        rows_of = (u, v) if task.recurrent else (u,)
        frames.append(words((*numbers, start, *panels_, *rows_of, *others, *started)))
    call.run(run.function, frames)


def backward(kernel: Kernel, params: Any, buffers: Buffers, hand_back: HandBack) -> None:
    """Run all steps from the last to the first; see `Loop`."""
    run, task = cast("Compiled", kernel.run), kernel.task
    steps, batch, gates = buffers[task.record].shape
    like = buffers[task.carried[0]]
    read, dtype = like.shape[1], like.dtype
    hidden = params.weight_ih.shape[0] // task.gates
    weights = [panels.backward(params.weight_hh)] if task.recurrent else []
    if task.projection:
        weights.append(panels.backward(params.extra.weight_hr))
    names, wide = run.padded, panels.padded(max(hidden, read), dtype)
    carried = np.zeros((len(names), batch, wide), dtype=dtype)
    for row, name in zip(carried, task.carried, strict=False):
        row[:, : buffers[name].shape[1]] = buffers[name]
    own = [*carried, *[buffers[name] for name in run.own]]
    places = addresses([*weights, *own])
    weight, places = places[: len(weights)], places[len(weights) :]
    limit = _bits(inf if hand_back.clip is None else float(hand_back.clip))
    options = hand_back.first, hand_back.truncate or 0, limit
    frames = []
    for rows in call.parts(batch, steps * batch * gates * hidden):
        others = _moved(run, places, own, rows.start) if rows.start else places
        numbers = steps, batch, rows.stop - rows.start, hidden, read, wide, *options
        frames.append(words((*numbers, *weight, *others)))
    call.run(run.function, frames)
    for row, name in zip(carried, names, strict=True):
        buffers[name][...] = row[:, : buffers[name].shape[1]]


def _moved(run: "Compiled", places: list[int], arrays: list[AnyArray], first: int) -> list[int]:
    """Return the addresses of the arrays' rows from a sequence on."""
    return [
        place if axis is None else place + first * array.strides[axis]
        for place, array, axis in zip(places, arrays, run.axes, strict=True)
    ]


def _readable(x: AnyArray, dtype: Any) -> AnyArray:
    """Return the input with rows without gaps, copied if necessary."""
    last = x.strides[2] == x.itemsize and not any(each % x.itemsize for each in x.strides)
    if last and x.flags.aligned and x.dtype == dtype:
        return x
    return np.ascontiguousarray(x, dtype=dtype)


def _bits(number: float) -> int:
    return int(struct.unpack("<q", struct.pack("<d", number))[0])
