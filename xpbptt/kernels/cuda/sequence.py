"""The loop `sequence` for CuPy's arrays: all steps in one launch, see `group` and `free`.

Before the first launch for so many units and sequences, a plan is made for the current device and
its kernel is compiled. Where none fits, or the compiler spills registers, the pass is refused and
the next loop takes it. It has been run on a simulator only, on no GPU.
"""

from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache, partial
from typing import Any, NamedTuple, TypeVar

import cupy
from cupy_backends.cuda.api import driver, runtime

from xpbptt._arrays.once import LOCK
from xpbptt.kernels.cuda import free, group, stepwise
from xpbptt.kernels.cuda.launch import Arrays, Plain, Planned, Sizes3
from xpbptt.kernels.cuda.plan import BYTES, Dealt, Device, Plan, Sizes, distinct, plans, refusal
from xpbptt.kernels.cuda.product import refuse_capture
from xpbptt.kernels.cuda.source import FORWARD, name
from xpbptt.kernels.cuda.step import Step
from xpbptt.kernels.cuda.tile import THREADS
from xpbptt.kernels.emit import straight
from xpbptt.kernels.programs import Task
from xpbptt.kernels.target import Buffers, Call, HandBack, Kernel, Loop

TRIES = 3  # plans that are compiled before the next loop takes the pass
# cudaDeviceAttr
CLOCK, PROCESSORS, MAJOR, MINOR, COOPERATIVE, SHARED = 13, 16, 75, 76, 95, 97

Built = TypeVar("Built")


@lru_cache
def device(number: int) -> Device:
    """Ask a device."""

    def ask(attribute: int) -> int:
        return int(runtime.deviceGetAttribute(attribute, number))

    clock = ask(CLOCK) / 1e6 or 1.0
    capability = ask(MAJOR), ask(MINOR)
    return Device(ask(PROCESSORS), ask(SHARED), capability, clock, bool(ask(COOPERATIVE)))


class Whole:
    """A program with the loop over time around it."""

    def __init__(self, task: Task, dtype: str) -> None:
        self.task, self.dtype, self.back = task, dtype, task.kind not in FORWARD

    @cached_property
    def step(self) -> Step:
        """The same program for a step, for what the whole loop cannot do."""
        return Step(self.task, self.dtype)

    def built(self, build: Callable[[], Built]) -> Built | str:
        """Return what is built, or why it cannot be."""
        try:
            return build()
        except Exception as error:  # noqa: BLE001 - a compiler may raise anything
            return f"{name(self.task)} could not be built: {error!r}"


class Free(Whole):
    """A program without the product, compiled for all sizes."""

    def __init__(self, task: Task, dtype: str) -> None:
        super().__init__(task, dtype)
        first: Plain | str = self._compiled(1)  # here, where a failure is seen
        self._kernels = {1: first}

    def planned(self, hidden: int, batch: int, directions: int = 1) -> Plain | str:  # noqa: ARG002
        """Return the kernel, which has no plan, or why it could not be built."""
        if directions not in self._kernels:
            with LOCK:
                self._kernels[directions] = self.built(lambda: self._compiled(directions))
        return self._kernels[directions]

    def _compiled(self, directions: int) -> Plain:
        text = free.source(self.task, self.dtype, directions)
        return Plain(cupy.RawKernel(text, name(self.task)).kernel)

    def arrays(self, buffers: Buffers, weight: Any) -> Arrays:  # noqa: ARG002
        """Return what the kernel takes of the arrays of a pass."""
        dh = ["dh"] if self.back and self.task.recurrent else []
        return [buffers[each] for each in (*dh, *free.arguments(self.task))]


class Sequence(Whole):
    """A program with the product, compiled for the sizes that come."""

    def __init__(self, task: Task, dtype: str) -> None:
        super().__init__(task, dtype)
        self._planned: dict[tuple[int, int, int, int], Planned | str] = {}
        self._kernels: dict[tuple[Dealt, int], Any] = {}

    def planned(self, hidden: int, batch: int, directions: int = 1) -> Planned | str:
        """Return the plan for the current device, or why there is none."""
        key = runtime.getDevice(), hidden, batch, directions
        if key not in self._planned:
            with LOCK:
                self._planned[key] = self._find(*key)
        return self._planned[key]

    def arrays(self, buffers: Buffers, weight: Any) -> Arrays:
        """Return what the kernel takes of the arrays of a pass."""
        dh = ["dh"] if self.back else []
        weight = cupy.ascontiguousarray(weight)
        return [weight, *(buffers[each] for each in (*dh, *group.arguments(self.task)))]

    def _find(self, number: int, hidden: int, batch: int, directions: int) -> Planned | str:
        sizes = Sizes(self.task.recurrent, hidden, batch, self.dtype, self.back)
        reason = refusal(device(number), sizes, directions)
        if reason:
            return reason
        for plan in distinct(plans(device(number).share(directions), sizes))[:TRIES]:
            found = self.built(partial(self._compiled, plan, directions))
            if not isinstance(found, str):
                return found
            reason = found
        return reason

    def _compiled(self, plan: Plan, directions: int) -> Planned | str:
        """Compile the kernel of a plan, or say why the device cannot run it."""
        key = plan.tile, directions
        if key not in self._kernels:
            text = group.source(self.task, self.dtype, plan.tile, directions)
            self._kernels[key] = cupy.RawKernel(text, name(self.task))
        kernel = self._kernels[key]
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
    stepwise.one_product(task)
    if task.kind in {"recompute", "single"}:
        return Step(task, dtype)
    return Free(task, dtype) if free.applies(task) else Sequence(task, dtype)


def refuse(kernels: Mapping[Any, Kernel], hidden: int, batch: int) -> str:
    """Return why a pass of these sizes cannot be run in one launch; empty where it can."""
    runs: list[Any] = [kernel.run for kernel in kernels.values()]
    found = [run.planned(hidden, batch) for run in runs if isinstance(run, Sequence)]
    return next((each for each in found if isinstance(each, str)), "")


def scratch(kernels: Mapping[Any, Kernel], hidden: int, batch: int, directions: int) -> int:
    """Return the bytes of the parts of dh; see `Loop`."""
    most = 0
    for kernel in kernels.values():
        run: Any = kernel.run
        if isinstance(run, Sequence) and run.back:
            found = run.planned(hidden, batch, directions)
            if isinstance(found, str):  # one direction after the other
                found = run.planned(hidden, batch)
            if not isinstance(found, str):
                most = max(most, BYTES[kernel.dtype] * found.plan.parts(hidden))
    return most


class Sweep(NamedTuple):
    """What a call launches, once it is known whether another one goes with it.

    Attributes
    ----------
    run : Free or Sequence
        The program.
    sizes : tuple of int
        T, B and H.
    back : tuple of int
        Back, the number of the first step, and after how many steps the gradient is cut off, 0 for
        never; forward, empty.
    clip : float or None
        The largest norm of what a step hands back.
    arrays : callable
        Returns the arrays of the kernel.
    """

    run: Any
    sizes: Sizes3
    back: tuple[int, ...]
    clip: float | None
    arrays: Callable[[], Arrays]

    def planned(self, directions: int) -> Any:
        """Return what launches so many directions at once, or why nothing does."""
        _, batch, hidden = self.sizes
        return self.run.planned(hidden, batch, directions)


def forward(kernel: Kernel, x: Any, params: Any, weight: Any, buffers: Buffers) -> None:
    """Run all steps in order; see `Loop`."""
    sweep = _ahead(kernel, x, params, weight, buffers)
    if isinstance(sweep.planned(1), str):  # on another device than the one that was asked
        stepwise.forward(kernel._replace(run=sweep.run.step), x, params, weight, buffers)
    else:
        _launch(sweep)


def backward(kernel: Kernel, params: Any, buffers: Buffers, hand_back: HandBack) -> None:
    """Run all steps from the last to the first; see `Loop`.

    The norms of clipping take all units of a sequence between two steps: that goes step by step.
    """
    sweep = _back(kernel, params, buffers, hand_back)
    if hand_back.clip is None and not isinstance(sweep.planned(1), str):
        _launch(sweep)
    else:
        stepwise.backward(kernel._replace(run=sweep.run.step), params, buffers, hand_back)


def pair(one: Call, other: Call) -> bool:
    """Run two calls in one launch, if they differ in their arrays only and a plan fits both."""
    if other.run is not one.run:  # of a forward and a back one, or of another loop
        return False
    sweep = _back if one.run is backward else _ahead
    first, second = sweep(*one.given), sweep(*other.given)
    alike = first._replace(arrays=list) == second._replace(arrays=list)
    if not alike or first.clip is not None or isinstance(first.planned(2), str):
        return False
    _launch(first, second)
    return True


def _launch(*sweeps: Sweep) -> None:
    first = sweeps[0]
    launch = first.planned(len(sweeps))
    launch(first.sizes, first.back, *[each.arrays() for each in sweeps])


def _ahead(kernel: Kernel, x: Any, params: Any, weight: Any, buffers: Buffers) -> Sweep:
    refuse_capture()
    steps, batch, inputs = x.shape
    run: Any = kernel.run

    def arrays() -> Arrays:
        u = cupy.reshape(x, (steps * batch, inputs)).dot(params.weight_ih.T)
        return run.arrays(buffers | {"u": u}, weight)  # type: ignore[no-any-return]

    hidden = params.weight_ih.shape[0] // kernel.task.gates
    return Sweep(run, (steps, batch, hidden), (), None, arrays)


def _back(kernel: Kernel, params: Any, buffers: Buffers, hand_back: HandBack) -> Sweep:
    refuse_capture()
    steps, batch, _ = buffers[kernel.task.record].shape
    hidden = params.weight_ih.shape[0] // kernel.task.gates
    run: Any = kernel.run
    for name_ in dict.fromkeys(kernel.task.returned):
        buffers[name_][...] = 0
    truncation = hand_back.first, hand_back.truncate or 0
    arrays = partial(run.arrays, buffers, params.weight_hh)
    return Sweep(run, (steps, batch, hidden), truncation, hand_back.clip, arrays)


SEQUENCE = Loop(
    "sequence",
    compile_,
    stepwise.pack,
    forward,
    backward,
    parts=stepwise.PARTS,
    refuse=refuse,
    scratch=scratch,
    pair=pair,
)
