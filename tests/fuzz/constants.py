"""The constants that say how much is done at once, so small that small sizes cross them."""

from contextlib import ExitStack, contextmanager
from importlib import import_module
from unittest.mock import patch

from helpers import largest_buffer

KERNEL = "at_once"  # of a compiled pass: the largest buffer of its gates
CONSTANTS = {
    "xpbptt.bptt.engines.chunks.ROWS": (1, 2, 7, 100),
    "xpbptt.bptt.engines.chunks.ELEMENTS": (1, 10, 100, 1000),
    "xpbptt.kernels.llvm.loops.KEPT": (1, 1000, 10_000),
    "xpbptt.kernels.llvm.single.SMALL": (0, 30, 200),
    "xpbptt.kernels.llvm.call.WORTH": (1, 1000),
    "xpbptt.bptt.engines.chunks.CHUNK": (1, 2, 3, 5),
    "xpbptt.bptt.strategies.keep.SPAN": (1, 2, 3, 5),
    "xpbptt.cells.recurrence.FEW": (0, 2, 100),
    KERNEL: (1, 10, 100, 1000),
}


@contextmanager
def changed(constants: tuple[tuple[str, int], ...]):
    """Set the constants for a while; a name that is not there is an error."""
    with ExitStack() as stack:
        for name, value in constants:
            if name == KERNEL:
                stack.enter_context(largest_buffer(value))
                continue
            module, _, attribute = name.rpartition(".")
            stack.enter_context(patch.object(import_module(module), attribute, value))
        yield
