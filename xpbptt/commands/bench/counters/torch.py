"""Counting on torch: every operator passes through its dispatcher."""

from importlib import import_module
from typing import Any

from xpbptt.commands.bench import ours
from xpbptt.commands.bench.counters.tally import Counter, Tally
from xpbptt.commands.bench.problem import Problem

PRODUCTS = ("mm", "addmm", "bmm", "matmul", "mv", "dot")
FREE = ("empty", "detach", "alias", "lift_fresh", "new_empty")


def count(problem: Problem) -> Tally:
    """Count the operators that torch dispatches."""
    modes = import_module("torch.utils._python_dispatch")
    counter = Counter()

    class Watch(modes.TorchDispatchMode):  # type: ignore[name-defined, misc]
        """Sees every operator."""

        def __torch_dispatch__(self, func: Any, types: Any, args: Any, kwargs: Any = None) -> Any:
            name = func.overloadpacket.__name__
            if not func.is_view and not name.startswith(FREE):
                counter.add(product=name in PRODUCTS)
            return func(*args, **(kwargs or {}))

    run = ours.make(problem).run
    run()
    with Watch():
        run()
    return counter.tally()
