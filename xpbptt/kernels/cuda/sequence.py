"""The loop `sequence` for CuPy's arrays: all steps in one launch, see `group` and `free`.

Before the first launch for so many units and sequences, a plan is made for the current device and
its kernel is compiled. Where none fits, or the compiler spills registers, the pass is refused and
the next loop takes it. It has been run on a simulator only, on no GPU.
"""

from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import cupy
import numpy as np
from cupy_backends.cuda.api import driver, runtime

from xpbptt._arrays.once import LOCK
from xpbptt.kernels.cuda import free, group, stepwise
from xpbptt.kernels.cuda.plan import Device, Plan, Sizes, plans, refusal
from xpbptt.kernels.cuda.product import refuse_capture
from xpbptt.kernels.cuda.source import FORWARD, name
from xpbptt.kernels.cuda.step import Step
from xpbptt.kernels.cuda.tile import THREADS, Tile
from xpbptt.kernels.emit import straight
from xpbptt.kernels.programs import Task
from xpbptt.kernels.target import Buffers, HandBack, Kernel, Loop

TRIES = 3  # plans that are compiled before the next loop takes the pass
COUNTERS = 32  # between the counters of two groups: 128 bytes
# cudaDeviceAttr
CLOCK, PROCESSORS, MAJOR, MINOR, COOPERATIVE, SHARED = 13, 16, 75, 76, 95, 97


@lru_cache
def device(number: int) -> Device:
    """Ask a device."""

    def ask(attribute: int) -> int:
        return int(runtime.deviceGetAttribute(attribute, number))

    clock = ask(CLOCK) / 1e6 or 1.0
    capability = ask(MAJOR), ask(MINOR)
    return Device(ask(PROCESSORS), ask(SHARED), capability, clock, bool(ask(COOPERATIVE)))


class Planned(NamedTuple):
    """A plan with its kernel, on one device."""

    plan: Plan
    function: Any

    def __call__(self, numbers: tuple[int, ...], arrays: list[Any]) -> None:
        """Launch it; the counters of the groups are made here."""
        plan = self.plan
        counters = cupy.zeros(plan.groups * COUNTERS, dtype=np.uint32)
        arguments = [np.int32(each) for each in numbers]
        arguments += [each.data.ptr for each in (counters, *arrays)]
        self.function(
            (plan.blocks, plan.groups),  # CuPy cuts a line short that is too long, and refuses this
            (THREADS,),
            tuple(arguments),
            shared_mem=plan.shared,
            enable_cooperative_groups=plan.blocks > 1,
        )


class Whole:
    """A program with the loop over time around it."""

    def __init__(self, task: Task, dtype: str) -> None:
        self.task, self.dtype = task, dtype

    @cached_property
    def step(self) -> Step:
        """The same program for a step, for what the whole loop cannot do."""
        return Step(self.task, self.dtype)


class Free(Whole):
    """A program without the product, compiled for all sizes."""

    def __init__(self, task: Task, dtype: str) -> None:
        super().__init__(task, dtype)
        self.kernel = cupy.RawKernel(free.source(task, dtype), name(task))
        self.kernel.kernel  # noqa: B018 - compiles it, here where its failure is seen

    def __call__(self, numbers: tuple[int, ...], arrays: list[Any]) -> None:
        """Launch it; of the numbers, the first three are T, B and H."""
        _, batch, hidden, *_ = numbers
        blocks = -(-batch * hidden // free.THREADS)
        arguments = (*numbers, *(each.data.ptr for each in arrays))
        self.kernel.kernel((blocks,), (free.THREADS,), arguments)


class Sequence(Whole):
    """A program with the product, compiled for the sizes that come."""

    def __init__(self, task: Task, dtype: str) -> None:
        super().__init__(task, dtype)
        self.back = task.kind not in FORWARD
        self._planned: dict[tuple[int, int, int], Planned | str] = {}
        self._kernels: dict[Tile, Any] = {}

    def planned(self, hidden: int, batch: int) -> Planned | str:
        """Return the plan for the current device, or why there is none."""
        key = runtime.getDevice(), hidden, batch
        if key not in self._planned:
            with LOCK:
                self._planned[key] = self._find(*key)
        return self._planned[key]

    def _find(self, number: int, hidden: int, batch: int) -> Planned | str:
        sizes = Sizes(self.task.recurrent, hidden, batch, self.dtype, self.back)
        reason = refusal(device(number), sizes)
        if reason:
            return reason
        for plan in plans(device(number), sizes)[:TRIES]:
            try:
                found = self._compiled(plan)
            except Exception as error:  # noqa: BLE001 - a compiler may raise anything
                return f"{name(self.task)} could not be built: {error!r}"
            if not isinstance(found, str):
                return found
            reason = found
        return reason

    def _compiled(self, plan: Plan) -> Planned | str:
        """Compile the kernel of a plan, or say why the device cannot run it."""
        if plan.tile not in self._kernels:
            text = group.source(self.task, self.dtype, plan.tile)
            self._kernels[plan.tile] = cupy.RawKernel(text, name(self.task))
        kernel = self._kernels[plan.tile]
        if kernel.local_size_bytes:
            return f"the compiler keeps {kernel.local_size_bytes} bytes of a thread in memory"
        enough = max(kernel.max_dynamic_shared_size_bytes, plan.shared)
        kernel.max_dynamic_shared_size_bytes = enough
        function = kernel.kernel
        most = driver.occupancyMaxActiveBlocksPerMultiprocessor(function.ptr, THREADS, plan.shared)
        if not most:
            return f"a multiprocessor holds no block of {kernel.num_regs} registers a thread"
        return Planned(plan, function)


def compile_(task: Task, dtype: str) -> Any:
    """Compile a program of a step; of all steps, when the sizes are known."""
    straight(task.program)
    if task.kind in {"recompute", "single"}:
        return Step(task, dtype)
    return Free(task, dtype) if free.applies(task) else Sequence(task, dtype)


def refuse(kernels: Mapping[Any, Kernel], hidden: int, batch: int) -> str:
    """Return why a pass of these sizes cannot be run in one launch; empty where it can."""
    if any(kernel.task.given or kernel.task.returned for kernel in kernels.values()):
        return "resets and recurrent dropout are run step by step"
    runs: list[Any] = [kernel.run for kernel in kernels.values()]
    found = [run.planned(hidden, batch) for run in runs if isinstance(run, Sequence)]
    return next((each for each in found if isinstance(each, str)), "")


def forward(kernel: Kernel, x: Any, params: Any, weight: Any, buffers: Buffers) -> None:
    """Run all steps in order; see `Loop`."""
    refuse_capture()
    steps, batch, inputs = x.shape
    hidden = params.weight_ih.shape[0] // kernel.task.gates
    run: Any = kernel.run
    u = cupy.reshape(x, (steps * batch, inputs)).dot(params.weight_ih.T)
    known = buffers | {"u": u}
    if isinstance(run, Free):
        run((steps, batch, hidden), [known[name] for name in free.arguments(kernel.task)])
        return
    planned = run.planned(hidden, batch)
    arrays = [weight, *(known[name] for name in group.arguments(kernel.task))]
    planned((steps, batch, hidden, planned.plan.rows), arrays)


def backward(kernel: Kernel, params: Any, buffers: Buffers, hand_back: HandBack) -> None:
    """Run all steps from the last to the first; see `Loop`.

    The norms of clipping take all units of a sequence between two steps: that goes step by step.
    """
    refuse_capture()
    task = kernel.task
    run: Any = kernel.run
    if hand_back.clip is not None:
        stepwise.backward(kernel._replace(run=run.step), params, buffers, hand_back)
        return
    steps, batch, _ = buffers[task.record].shape
    hidden = params.weight_ih.shape[0] // task.gates
    truncation = hand_back.first, hand_back.truncate or 0
    dh = [buffers["dh"]] if task.recurrent else []
    if isinstance(run, Free):
        arrays = [*dh, *(buffers[name] for name in free.arguments(task))]
        run((steps, batch, hidden, *truncation), arrays)
        return
    weight = cupy.ascontiguousarray(params.weight_hh)
    planned = run.planned(hidden, batch)
    blocks, groups, rows, *_ = planned.plan
    wide = np.promote_types(weight.dtype, np.float32)
    parts = cupy.empty(2 * groups * blocks * rows * hidden, dtype=wide)
    arrays = [weight, *dh, parts, *(buffers[name] for name in group.arguments(task))]
    planned((steps, batch, hidden, rows, *truncation), arrays)


SEQUENCE = Loop("sequence", compile_, stepwise.pack, forward, backward, refuse=refuse)
