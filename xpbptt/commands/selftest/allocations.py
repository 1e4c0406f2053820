"""A longer sequence asks for no more arrays, as CuPy's allocator sees it."""

from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import Any

import xpbptt
from xpbptt.bptt import Strategy
from xpbptt.commands.selftest.check import Check, CheckError, Setup, not_applicable
from xpbptt.commands.selftest.kernels import require_kernels
from xpbptt.commands.selftest.nets import COMPILED, NETS, H, I
from xpbptt.testing.laws.sample import Sample, draw

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
    said, net = [], NETS[name](I, H)
    for masked in (False, True):
        short, long = (
            draw(net, xp=setup.xp, steps=steps, masked=masked, dtype="float32")
            for steps in (SHORT, LONG)
        )
        for bptt in STRATEGIES:
            few, many = _count(short, bptt), _count(long, bptt)
            if few != many:
                message = (
                    f"{bptt}{', masked' * masked}: {few} arrays forward and backward for {SHORT} "
                    f"steps, {many} for {LONG}"
                )
                raise CheckError(message)
            said.append(f"{few[0]} + {few[1]}")
    return f"forward + backward: {', '.join(said)} arrays for {SHORT} steps as for {LONG}"


def _count(of: Sample, bptt: Strategy) -> tuple[int, int]:
    of.train(bptt)  # builds what is built once
    kept: list[Any] = []
    there = allocations(lambda: kept.extend(of.forward(bptt)))
    return there, allocations(lambda: of.net.backward(kept[2], of.dy, of.dstate))
