"""A longer sequence asks for no more arrays, as CuPy's allocator sees it."""

from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import Any

import xpbptt
from xpbptt.commands.selftest.check import Check, CheckError, Setup, not_applicable
from xpbptt.commands.selftest.kernels import require_kernels
from xpbptt.commands.selftest.nets import COMPILED, Layout, draw

SHORT, LONG = 12, 22  # more than eight: CuPy joins up to eight arrays in another way
STRATEGIES = (xpbptt.KeepAll(), xpbptt.KeepStates())


def checks(setup: Setup) -> Iterator[Check]:
    """Yield a check for each net whose cell is compiled."""
    if setup.backend != "cupy":
        reason = f"the arrays that {setup.backend} makes cannot be counted"
        return iter([not_applicable("allocations", reason)])
    return (Check(f"allocations, {name}", partial(_run, name, setup)) for name in COMPILED)


def allocations(function: Callable[[], object]) -> int:
    """Count the arrays that CuPy makes while a function runs."""
    cuda = import_module("cupy").cuda
    allocate, sizes = cuda.get_allocator(), []

    def counted(size: int) -> object:
        sizes.append(size)
        return allocate(size)

    with cuda.using_allocator(counted):
        function()
    return len(sizes)


def _run(name: str, setup: Setup) -> str:
    require_kernels(name, setup)
    said = []
    for masked in (False, True):
        for bptt in STRATEGIES:
            layout = Layout(1, both=False, masked=masked)
            short, long = (_count(name, layout, bptt, steps, setup) for steps in (SHORT, LONG))
            if short != long:
                message = (
                    f"{bptt}, {layout}: {short} arrays forward and backward for {SHORT} steps, "
                    f"{long} for {LONG}"
                )
                raise CheckError(message)
            said.append(f"{short[0]} + {short[1]}")
    return f"forward + backward: {', '.join(said)} arrays for {SHORT} steps as for {LONG}"


def _count(name: str, layout: Layout, bptt: Any, steps: int, setup: Setup) -> tuple[int, int]:
    net, _, numbers, _ = draw(name, layout, "float32", xp=setup.xp, steps=steps)
    params, x, state, mask, dy, dstate = numbers
    kept: list[Any] = []

    def forward() -> None:
        kept[:] = [net.forward(params, x, state, mask, bptt=bptt)[2]]

    def backward() -> None:
        net.backward(kept[0], dy, dstate)

    forward()  # builds what is built once
    backward()
    return allocations(forward), allocations(backward)
