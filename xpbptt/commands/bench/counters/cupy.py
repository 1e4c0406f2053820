"""Counting on CuPy: arrays of a subclass are asked before a kernel is launched on them.

Seen are the kernels of ufuncs and reductions, assignments, products, the functions of the namespace
that launch without asking, and the compiled kernels of the cells.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from xpbptt.bptt.engines import stepwise as fused
from xpbptt.commands.bench import ours
from xpbptt.commands.bench.counters.tally import (
    Counter,
    Tally,
    Wrap,
    counting_kernels,
    replaced,
    same_memory,
)
from xpbptt.commands.bench.problem import Problem

FREE = ("empty", "empty_like")
ONE_LAUNCH = ("zeros", "zeros_like", "ones", "full")
COPIES = ("concat", "stack")  # a copy for each array
PRODUCTS = ("matmul", "tensordot")


def count(problem: Problem) -> Tally:  # noqa: C901 - short functions that share a counter
    """Count the kernels and products that CuPy is asked for."""
    ndarray = import_module("cupy").ndarray
    counter = Counter()

    def plain(tree: Any) -> Any:
        if type(tree) in (tuple, list):
            return type(tree)(plain(each) for each in tree)
        if type(tree) is dict:
            return {name: plain(each) for name, each in tree.items()}
        return ndarray(*_layout(tree)) if isinstance(tree, Counted) else tree

    def counted(call: Callable[..., Any], *args: Any, product: bool = False, **options: Any) -> Any:
        counter.add(product=product)
        return watched(call(*plain(args), **plain(options)))

    class Counted(ndarray):  # type: ignore[misc, valid-type]
        """An array that reports what is done with it."""

        def __cupy_override_elementwise_kernel__(self, kernel: Any, *args: Any, **kw: Any) -> Any:
            return counted(kernel, *args, **kw)

        def __cupy_override_reduction_kernel__(self, kernel: Any, *args: Any, **kw: Any) -> Any:
            return counted(kernel, plain(self), *args, **kw)

        def __matmul__(self, other: Any) -> Any:
            return counted(ndarray.__matmul__, self, other, product=True)

        def dot(self, other: Any, out: Any = None) -> Any:
            return counted(ndarray.dot, self, other, out, product=True)

        def __setitem__(self, key: Any, value: Any) -> None:
            array, value = plain(self), plain(value)
            if not same_memory(array[key], value):  # else an `array[key] += x` has just ended
                counter.add()
            array[key] = value

    def watched(result: Any) -> Any:
        return Counted(*_layout(result)) if type(result) is ndarray else result

    def launching(product: bool) -> Wrap:  # noqa: FBT001 - private
        return lambda call: lambda *args, **kw: counted(call, *args, product=product, **kw)

    def through(call: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **options: watched(call(*args, **options))

    def free(call: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **options: watched(call(*plain(args), **plain(options)))

    def asarray(call: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, copy=None, **kw: (
            counted(call, *args, copy=copy, **kw) if copy else free(call)(*args, copy=copy, **kw)
        )

    wraps: dict[str, Wrap] = {"asarray": asarray}
    wraps |= dict.fromkeys(FREE, free)
    wraps |= dict.fromkeys(COPIES, through)
    wraps |= dict.fromkeys(ONE_LAUNCH, launching(product=False))
    wraps |= dict.fromkeys(PRODUCTS, launching(product=True))
    with (
        replaced(problem.xp, wraps),
        replaced(fused, counting_kernels(counter, plain, xp=problem.xp)),
    ):
        run = ours.make(problem).run
        run()
        counter.restart()
        run()
    return counter.tally()


def _layout(array: Any) -> tuple[Any, ...]:
    return array.shape, array.dtype, array.data, array.strides
