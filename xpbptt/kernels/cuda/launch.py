"""The launch of a kernel that runs all steps, of one direction or of two at once."""

from typing import Any, NamedTuple

import cupy
import numpy as np

from xpbptt.kernels.cuda import free
from xpbptt.kernels.cuda.plan import Plan
from xpbptt.kernels.cuda.tile import THREADS

COUNTERS = 32  # between the counters of two groups: 128 bytes

Arrays = list[Any]
Sizes3 = tuple[int, int, int]  # T, B and H


class Planned(NamedTuple):
    """A plan with its kernel, on one device."""

    plan: Plan
    function: Any

    def __call__(self, sizes: Sizes3, back: tuple[int, ...], *given: Arrays) -> None:
        """Launch it with the arrays of each direction; what a launch needs besides is made here."""
        plan, hidden, directions = self.plan, sizes[2], len(given)
        made = [cupy.zeros(directions * plan.groups * COUNTERS, dtype=np.uint32)]
        if back:
            kind = np.promote_types(given[0][0].dtype, np.float32)
            made.append(cupy.empty(directions * plan.parts(hidden), kind))
        numbers = (*sizes, plan.rows, *back)
        arguments = [np.int32(each) for each in numbers]
        arguments += [each.data.ptr for each in made + _in_turn(given)]
        self.function(
            # CuPy cuts a line short that is too long, and refuses this
            (plan.blocks, plan.groups, directions),
            (THREADS,),
            tuple(arguments),
            shared_mem=plan.shared,
            enable_cooperative_groups=plan.blocks > 1,
        )


class Plain(NamedTuple):
    """The kernel of a program without the product, for all sizes."""

    function: Any

    def __call__(self, sizes: Sizes3, back: tuple[int, ...], *given: Arrays) -> None:
        """Launch it with the arrays of each direction."""
        _, batch, hidden = sizes
        blocks = -(-batch * hidden // free.THREADS)
        arguments = (*sizes, *back, *(each.data.ptr for each in _in_turn(given)))
        self.function((blocks, 1, len(given)), (free.THREADS,), arguments)


def _in_turn(given: tuple[Arrays, ...]) -> Arrays:
    """Return each array of the directions in turn, as the kernels take them."""
    return [each for arrays in zip(*given, strict=True) for each in arrays]
