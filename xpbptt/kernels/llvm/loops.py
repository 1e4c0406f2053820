"""The loop `sequence` for NumPy's arrays: a whole sequence in one compiled call a thread."""

import struct
from math import inf
from typing import Any, NamedTuple, cast

import numpy as np

from xpbptt._arrays.types import AnyArray
from xpbptt.kernels.llvm import cell, panels, product, threads
from xpbptt.kernels.llvm.build import load
from xpbptt.kernels.llvm.frames import address, addresses, batch_axes, plain, words
from xpbptt.kernels.llvm.function import Step
from xpbptt.kernels.llvm.machine import features
from xpbptt.kernels.llvm.sequence import (
    POINTERS,
    WIDE,
    Backward,
    Forward,
    backward_names,
    forward_names,
    panel,
)
from xpbptt.kernels.llvm.vectors import vector
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
    """

    function: Run
    own: tuple[str, ...]
    axes: tuple[int | None, ...]


def compile_(task: Task, dtype: str) -> Any:
    """Compile a program, with the loop over time around it where it is one of all steps."""
    kind, program = vector(dtype, features()), task.program
    text, axes = (
        [cell.library(kind)],
        batch_axes(program) | {name: 1 if name == "reset" else 0 for name in task.given},
    )
    if task.kind in {"record", "advance"}:
        text += [product.product("product", kind, product.tile(kind, panel(task.gates).tile))]
        text += [Forward(kind, task).text()]
        own = forward_names(task).addresses[len(POINTERS) : -1 if task.given else None]
        return Compiled(load("\n".join(text)), own, tuple(map(axes.get, own)))
    if task.kind in {"back", "watch"}:
        text += [product.product("product", kind, product.tile(kind, WIDE))]
        text += [Backward(kind, task).text()]
        padded = len(task.carried) + len(task.returned)
        own = backward_names(task).addresses[1 + padded :]
        carried = (0,) * padded
        return Compiled(load("\n".join(text)), own, (*carried, *map(axes.get, own)))
    return step(program, load("\n".join([*text, Step(kind, task).text()])))


def step(program: Program, function: Run) -> Run:
    """Return ``run(t, *buffers)`` around a compiled step."""
    read, written = program.buffers()
    place, sized = next((k, each) for k, each in enumerate([*read, *written]) if "bj" in each.axes)

    def run(t: int, *arrays: AnyArray) -> None:
        batch, width = arrays[place].shape[-2:]
        held = [plain(array) for array in arrays]  # those that are written are plain
        function(words([t, batch, width // sized.blocks, *addresses(held)]))

    return run


def pack(params: Any, steps: int) -> tuple[AnyArray, AnyArray]:  # noqa: ARG001 - the contract's
    """Return both weights in panels."""
    hidden = params.weight_hh.shape[1]
    weight_ih = panels.forward(params.weight_ih, hidden)
    return weight_ih, panels.forward(params.weight_hh, hidden)


def forward(
    kernel: Kernel, x: AnyArray, params: Any, weights: tuple[AnyArray, AnyArray], buffers: Buffers
) -> None:
    """Run all steps in order; see `Loop`."""
    run, (weight_ih, weight_hh) = cast("Compiled", kernel.run), weights
    steps, batch, inputs = x.shape
    gates, hidden = params.weight_hh.shape
    x = _readable(x, params.weight_hh.dtype)
    size, (x_step, x_row, _) = x.itemsize, x.strides
    count, _, columns = weight_hh.shape
    own = [buffers[name] for name in run.own]
    places = addresses([x, weight_ih, weight_hh, *own])
    # The rows of a state are those of all steps, or of two in turn.
    kept = [-1 if buffers[name].shape[0] > steps else 1 for name in kernel.task.states]
    frames, held, copies = [], [], bool(kernel.task.initial) or kernel.task.drops
    for rows in threads.parts(batch, steps * batch * gates * (inputs + hidden)):
        width, first = rows.stop - rows.start, rows.start
        chunk = min(steps, max(1, KEPT // (count * columns * size * width)))
        size_u, size_v = count * chunk * width * columns, width * columns
        started = width * hidden if copies else 0
        scratch = np.empty(size_u + size_v + started, dtype=x.dtype)
        held.append(scratch)
        v = address(scratch)
        start, *panels_, others = (*places[:3], places[3:])
        if first:
            start, others = start + first * x_row, _moved(run, others, own, first)
        numbers = steps, batch, width, inputs, hidden, chunk, x_step // size, x_row // size, *kept
        u = v + width * columns * size
        last = (u + size_u * size,) if copies else ()
        frames.append(words((*numbers, start, *panels_, u, v, *others, *last)))
    threads.run(run.function, frames)


def backward(kernel: Kernel, params: Any, buffers: Buffers, hand_back: HandBack) -> None:
    """Run all steps from the last to the first; see `Loop`."""
    run, task = cast("Compiled", kernel.run), kernel.task
    steps, batch, gates = buffers[task.record].shape
    hidden = params.weight_hh.shape[1]
    weight_hh = panels.backward(params.weight_hh)
    padded = weight_hh.shape[0] * weight_hh.shape[2]
    names = (*task.carried, *task.returned)
    carried = np.zeros((len(names), batch, padded), dtype=weight_hh.dtype)
    for row, name in zip(carried, task.carried, strict=False):
        row[:, :hidden] = buffers[name]
    own = [*carried, *[buffers[name] for name in run.own]]
    weight, *places = addresses([weight_hh, *own])
    limit = _bits(inf if hand_back.clip is None else float(hand_back.clip))
    options = hand_back.first, hand_back.truncate or 0, limit
    frames = []
    for rows in threads.parts(batch, steps * batch * gates * hidden):
        others = _moved(run, places, own, rows.start) if rows.start else places
        numbers = steps, batch, rows.stop - rows.start, hidden, padded, *options
        frames.append(words((*numbers, weight, *others)))
    threads.run(run.function, frames)
    for row, name in zip(carried, names, strict=True):
        buffers[name][...] = row[:, :hidden]


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
