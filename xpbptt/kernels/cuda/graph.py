"""The loop `graph` for CuPy's arrays: what `stepwise` launches, some steps as one CUDA graph.

A launch of a graph replaces two calls from Python for each of its steps. It is taken only where it
is chosen by hand: it has been run on a simulator only, on no GPU. What cannot be captured, and what
is done between two steps from Python, is left to `stepwise`.
"""

import logging
from collections.abc import Mapping
from functools import cached_property
from typing import Any, cast

import cupy
from cupy_backends.cuda.api import runtime

from xpbptt._arrays.once import LOCK
from xpbptt.kernels.cuda import nodes, stepwise
from xpbptt.kernels.cuda.blas import recorder
from xpbptt.kernels.cuda.product import computed, refuse_capture
from xpbptt.kernels.cuda.recorded import Graph, capture
from xpbptt.kernels.cuda.source import name
from xpbptt.kernels.cuda.step import Step
from xpbptt.kernels.programs import Task
from xpbptt.kernels.target import Buffers, HandBack, Kernel, Loop

MOST = 16  # graphs of a program: each holds memory until the process ends

log = logging.getLogger("xpbptt")


class Steps:
    """A program whose steps are captured for the sizes that come."""

    def __init__(self, task: Task, dtype: str) -> None:
        self.task, self.dtype = task, dtype
        self._name = name(task, "graph")
        self._module = cupy.RawModule(code=nodes.source(task, dtype, self._name))
        self._kernel(nodes.NODE)  # compiles it, here where its failure is seen
        self._graphs: dict[tuple[Any, ...], Graph | str] = {}

    @cached_property
    def step(self) -> Step:
        """The same program for a step, for what the graph cannot do."""
        return Step(self.task, self.dtype)

    def graph(self, batch: int, hidden: int) -> Graph | str:
        """Return the graph of these sizes for the current device, or why there is none."""
        key = runtime.getDevice(), batch, hidden, computed(self.dtype)
        if key not in self._graphs:
            with LOCK:
                if key not in self._graphs:
                    self._graphs[key] = self._captured(key[0], batch, hidden)
        return self._graphs[key]

    def _captured(self, device: int, batch: int, hidden: int) -> Graph | str:
        if sum(isinstance(each, Graph) for each in self._graphs.values()) >= MOST:
            return f"{MOST} graphs of this program are there, and no more are captured"
        try:
            return capture(self.task, self.dtype, self._kernel, (batch, hidden), recorder(device))
        except Exception as error:  # noqa: BLE001 - CUDA and cuBLAS may refuse anything
            reason = f"its steps could not be captured: {type(error).__name__}: {error}"
            log.warning("%s runs without the engine graph, slower: %s", self._name, reason)
            return reason

    def _kernel(self, end: str) -> Any:
        return self._module.get_function(f"{self._name}_{end}").kernel


def compile_(task: Task, dtype: str) -> Any:
    """Compile a program; its graph is captured when the sizes are known."""
    stepwise.one_product(task)
    return (Step if task.kind in {"recompute", "single"} else Steps)(task, dtype)


def refuse(kernels: Mapping[Any, Kernel], hidden: int, batch: int) -> str:
    """Return why a pass of these sizes cannot be run as a graph; empty where it can."""
    if any(kernel.task.given or kernel.task.returned for kernel in kernels.values()):
        return "resets and recurrent dropout are run step by step"
    if cupy.cuda.get_current_stream().is_capturing():
        return ""  # no time to make one; the pass itself is refused
    runs: list[Any] = [kernel.run for kernel in kernels.values()]
    found = [run.graph(batch, hidden) for run in runs if isinstance(run, Steps)]
    return next((each for each in found if isinstance(each, str)), "")


def forward(kernel: Kernel, x: Any, params: Any, weight: Any, buffers: Buffers) -> None:
    """Run all steps in order; see `Loop`."""
    refuse_capture()
    steps, batch, inputs = x.shape
    hidden = params.weight_ih.shape[0] // kernel.task.gates
    run = cast("Steps", kernel.run)
    graph = run.graph(batch, hidden)
    if isinstance(graph, str):  # on another device than the one that was asked
        stepwise.forward(kernel._replace(run=run.step), x, params, weight, buffers)
        return
    u = cupy.reshape(x, (steps * batch, inputs)).dot(params.weight_ih.T)
    with graph.alone():
        if weight is not None:
            graph.weight[...] = weight
            graph.staged[...] = buffers[kernel.task.read][0]
        graph.run((steps, batch, hidden, 0, 0), buffers | {"u": u, "v": graph.out})


def backward(kernel: Kernel, params: Any, buffers: Buffers, hand_back: HandBack) -> None:
    """Run all steps from the last to the first; see `Loop`."""
    refuse_capture()
    task, run = kernel.task, cast("Steps", kernel.run)
    steps, batch, _ = buffers[task.record].shape
    hidden = params.weight_ih.shape[0] // task.gates
    graph = "" if hand_back.clip is not None else run.graph(batch, hidden)
    if isinstance(graph, str):  # the norms of clipping are taken between two steps
        stepwise.backward(kernel._replace(run=run.step), params, buffers, hand_back)
        return
    carried = [buffers[name] for name in task.carried]
    numbers = steps, batch, hidden, hand_back.first, hand_back.truncate or 0
    with graph.alone():
        if task.recurrent:
            graph.weight[...], graph.out[...] = params.weight_hh, carried[0]
        graph.run(numbers, buffers | {"dh": graph.out})
        if task.recurrent:
            carried[0][...] = graph.out
    if hand_back.cuts(0):
        for part in carried:
            part[...] = 0


GRAPH = Loop(
    "graph", compile_, stepwise.pack, forward, backward, parts=stepwise.PARTS, refuse=refuse
)
