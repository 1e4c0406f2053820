"""The constants that say how much is done at once, so small that small sizes cross them."""

from contextlib import ExitStack, contextmanager
from importlib import import_module
from unittest.mock import patch

from xpbptt.bptt.engines import stepwise as fused

KERNEL = "at_once"  # of a compiled kernel, which holds it from the day it was compiled
CONSTANTS = {
    "xpbptt.bptt.engines.segment.ROWS": (1, 2, 7, 100),
    "xpbptt.bptt.loop.NUMBERS": (1, 10, 100, 1000),
    "xpbptt.kernels.numba.loops.SMALL": (0, 30, 200),
    "xpbptt.bptt.loop.CHUNK": (1, 2, 3, 5),
    "xpbptt.bptt.strategies.SPAN": (1, 2, 3, 5),
    "xpbptt.cells.recurrence.FEW": (0, 2, 100),
    KERNEL: (1, 10, 100, 1000),
}


@contextmanager
def changed(constants: tuple[tuple[str, int], ...]):
    """Set the constants for a while; a name that is not there is an error."""
    with ExitStack() as stack:
        for name, value in constants:
            if name == KERNEL:
                stack.enter_context(_kernels_at_once(value))
                continue
            module, _, attribute = name.rpartition(".")
            stack.enter_context(patch.object(import_module(module), attribute, value))
        yield


def _kernels_at_once(value: int):
    find = fused.find

    def found(*arguments, **options):
        kernel = find(*arguments, **options)
        return None if kernel is None else kernel._replace(at_once=value)

    return patch.object(fused, "find", found)
