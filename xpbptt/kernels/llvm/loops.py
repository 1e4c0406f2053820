"""The loop `sequence` for NumPy's arrays: a whole sequence in one compiled call a thread."""

import struct
from math import inf
from typing import Any, NamedTuple

import numpy as np

from xpbptt._arrays.types import AnyArray
from xpbptt.kernels.llvm import cell, panels, product, threads
from xpbptt.kernels.llvm.build import load
from xpbptt.kernels.llvm.frames import address, batch_axes, plain, words
from xpbptt.kernels.llvm.machine import features
from xpbptt.kernels.llvm.sequence import (
    WIDE,
    Backward,
    Forward,
    Names,
    Step,
    backward_names,
    forward_names,
    panel,
)
from xpbptt.kernels.llvm.vectors import Vector, vector
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
    names : Names
        The words.
    axes : dict of int
        The axis of the sequences of each buffer that has one.
    vector : Vector
        The vectors that it computes with.
    """

    function: Run
    names: Names
    axes: dict[str, int]
    vector: Vector


def compile_(task: Task, dtype: str) -> Any:
    """Compile a program, with the loop over time around it where it is one of all steps."""
    kind, program = vector(dtype, features()), task.program
    text, axes = [cell.library(kind)], batch_axes(program)
    if task.kind in {"record", "advance"}:
        text += [product.product("product", kind, product.tile(kind, panel(task.gates).tile))]
        text += [Forward(kind, task).text()]
        return Compiled(load("\n".join(text)), forward_names(task), axes, kind)
    if task.kind in {"back", "watch"}:
        text += [product.product("product", kind, product.tile(kind, WIDE))]
        text += [Backward(kind, task).text()]
        return Compiled(load("\n".join(text)), backward_names(task), axes, kind)
    return step(program, load("\n".join([*text, Step(kind, task).text()])))


def step(program: Program, function: Run) -> Run:
    """Return ``run(t, *buffers)`` around a compiled step."""
    read, written = program.buffers()
    place, sized = next((k, each) for k, each in enumerate([*read, *written]) if "bj" in each.axes)

    def run(t: int, *arrays: AnyArray) -> None:
        batch, width = arrays[place].shape[-2:]
        held = [plain(array) for array in arrays]  # those that are written are plain
        function(words([t, batch, width // sized.blocks, *map(address, held)]))

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
    run: Any = kernel.run
    steps, batch, inputs = x.shape
    gates, hidden = params.weight_hh.shape
    x, size = _readable(x, params.weight_hh.dtype), params.weight_hh.itemsize
    weight_ih, weight_hh = weights
    count, _, columns = weight_hh.shape
    arrays = {name: buffers[name] for name in run.names.addresses if name in buffers}
    arrays |= {"x": x, "weight_ih": weight_ih, "weight_hh": weight_hh}
    apart = {name: arrays[name].strides[axis] for name, axis in run.axes.items() if name in arrays}
    apart["x"] = x.strides[1]
    start = {name: address(array) for name, array in arrays.items()}
    numbers = {
        "steps": steps,
        "batch": batch,
        "inputs": inputs,
        "hidden": hidden,
        "x_step": x.strides[0] // size,
        "x_row": x.strides[1] // size,
    }
    for name in kernel.task.states:  # all rows, or two in turn
        numbers[f"rows_{name}"] = -1 if arrays[name].shape[0] > steps else 1
    frames, held = [], []
    for rows in threads.parts(batch, steps * batch * gates * (inputs + hidden)):
        width = rows.stop - rows.start
        chunk = min(steps, max(1, KEPT // (count * columns * size * width)))
        scratch = np.empty(count * chunk * width * columns + width * columns, dtype=x.dtype)
        here = {name: at + rows.start * apart.get(name, 0) for name, at in start.items()}
        here["v"] = address(scratch)
        here["u"] = here["v"] + width * columns * size
        numbers |= {"rows": width, "chunk": chunk}
        held.append(scratch)
        frames.append(_frame(run.names, numbers, here))
    threads.run(run.function, frames)


def backward(kernel: Kernel, params: Any, buffers: Buffers, hand_back: HandBack) -> None:
    """Run all steps from the last to the first; see `Loop`."""
    run: Any = kernel.run
    task, kind = kernel.task, run.vector
    steps, batch, gates = buffers[task.record].shape
    hidden = params.weight_hh.shape[1]
    weight_hh = panels.backward(params.weight_hh)
    columns = WIDE * kind.lanes
    padded = -(-hidden // columns) * columns
    carried = np.zeros((len(task.carried), batch, padded), dtype=weight_hh.dtype)
    for row, name in zip(carried, task.carried, strict=True):
        row[:, :hidden] = buffers[name]
    arrays = {name: buffers[name] for name in run.names.addresses if name in buffers}
    arrays |= dict(zip(task.carried, carried, strict=True)) | {"weight_hh": weight_hh}
    apart = {name: arrays[name].strides[axis] for name, axis in run.axes.items()}
    apart |= dict.fromkeys(task.carried, carried.strides[1])
    start = {name: address(array) for name, array in arrays.items()}
    limit = inf if hand_back.clip is None else float(hand_back.clip)
    numbers = {
        "steps": steps,
        "batch": batch,
        "hidden": hidden,
        "padded": padded,
        "first": hand_back.first,
        "truncate": hand_back.truncate or 0,
        "limit": _bits(limit),
    }
    frames = []
    for rows in threads.parts(batch, steps * batch * gates * hidden):
        here = {name: at + rows.start * apart.get(name, 0) for name, at in start.items()}
        frames.append(_frame(run.names, numbers | {"rows": rows.stop - rows.start}, here))
    threads.run(run.function, frames)
    for row, name in zip(carried, task.carried, strict=True):
        buffers[name][...] = row[:, :hidden]


def _readable(x: AnyArray, dtype: Any) -> AnyArray:
    """Return the input with rows without gaps, copied if necessary."""
    last = x.strides[2] == x.itemsize and not any(each % x.itemsize for each in x.strides)
    if last and x.flags.aligned and x.dtype == dtype:
        return x
    return np.ascontiguousarray(x, dtype=dtype)


def _frame(names: Names, numbers: dict[str, int], addresses: dict[str, int]) -> Any:
    counts = (numbers[name] for name in names.numbers)
    return words([*counts, *(addresses[name] for name in names.addresses)])


def _bits(number: float) -> int:
    return int(struct.unpack("<q", struct.pack("<d", number))[0])
