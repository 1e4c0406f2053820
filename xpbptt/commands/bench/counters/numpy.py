"""Counting on NumPy: arrays of a subclass report what is done with them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from xpbptt.bptt.engines import stepwise as fused
from xpbptt.commands.bench import ours
from xpbptt.commands.bench.counters.tally import (
    Counter,
    Tally,
    counting_kernels,
    replaced,
    same_memory,
)
from xpbptt.commands.bench.problem import Problem

CREATORS = ("empty", "empty_like", "zeros", "zeros_like", "ones", "full", "asarray")
EMPTY = (np.empty_like,)
PRODUCTS = (np.matmul, np.dot, np.tensordot, np.einsum)


def count(problem: Problem) -> Tally:  # noqa: C901 - short functions that share a counter
    """Count the calls of NumPy's ufuncs and functions, and the assignments to arrays."""
    counter = Counter()

    def plain(tree: Any) -> Any:
        if type(tree) in (tuple, list):
            return type(tree)(plain(each) for each in tree)
        return tree.view(np.ndarray) if isinstance(tree, Counted) else tree

    class Counted(np.ndarray[Any, Any]):
        """An array that reports what is done with it."""

        def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
            counter.add(product=ufunc is np.matmul)
            given = {name: plain(option) for name, option in options.items()}
            return watched(getattr(ufunc, method)(*plain(inputs), **given))

        def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
            before = counter.products, counter.kernels
            result = super().__array_function__(func, types, args, kwargs)
            nothing_inside = before == (counter.products, counter.kernels)
            if nothing_inside and func not in EMPTY and _is_new(result, args):
                counter.add(product=func in PRODUCTS)
            return watched(result)

        def dot(self, other: Any, out: Any = None) -> Any:
            counter.add(product=True)
            return watched(plain(self).dot(plain(other), out=plain(out)))

        def __setitem__(self, key: Any, value: Any) -> None:
            array, value = plain(self), plain(value)
            if not same_memory(array[key], value):  # else an `array[key] += x` has just ended
                counter.add()
            array[key] = value

    def watched(result: Any) -> Any:
        return result.view(Counted) if type(result) is np.ndarray else result

    def watching(make: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **options: watched(make(*args, **options))

    with (
        replaced(problem.xp, dict.fromkeys(CREATORS, watching)),
        replaced(fused, counting_kernels(counter, plain, xp=problem.xp)),
    ):
        run = ours.make(problem).run
        run()  # what is found out once only, as the plan of a strategy
        counter.restart()
        run()
    return counter.tally()


def _is_new(result: Any, args: Any) -> bool:
    """Tell whether a function made an array, or wrote into one and returned nothing."""
    if result is None:
        return True
    arrays = [each for each in args if isinstance(each, np.ndarray)]
    return isinstance(result, np.ndarray) and not any(
        np.may_share_memory(result.view(np.ndarray), each.view(np.ndarray)) for each in arrays
    )
