"""The target LLVM, for NumPy's arrays: a whole sequence in one compiled call."""

import numpy as np

from xpbptt._arrays.types import AnyArray
from xpbptt.kernels import loops as stepwise
from xpbptt.kernels.llvm import loops, single
from xpbptt.kernels.llvm.accumulate import accumulate
from xpbptt.kernels.llvm.call import plain
from xpbptt.kernels.llvm.memory import keep_freed
from xpbptt.kernels.llvm.stream import Stepper
from xpbptt.kernels.programs import Task
from xpbptt.kernels.target import Loop, Run, Target

keep_freed()

AT_ONCE = 2**19  # elements of the gates that stay in the cache, and are reused from chunk to chunk

# BLAS may compute with memory beside a small matrix, and NumPy would warn of its values.
quiet = np.errstate(all="ignore")


def _compile_step(task: Task, dtype: str) -> Run:
    run: Run = loops.compile_(task._replace(kind="recompute"), dtype)
    return run


SEQUENCE = Loop(
    "sequence", loops.compile_, loops.pack, loops.forward, loops.backward, alternates=True
)

_STEPWISE = stepwise.loop(_compile_step, plain, xp=np, at_once=AT_ONCE)
STEPWISE = _STEPWISE._replace(forward=quiet(_STEPWISE.forward), backward=quiet(_STEPWISE.backward))


@quiet
def multiply(left: AnyArray, right: AnyArray, out: AnyArray) -> None:
    """Multiply two matrices."""
    left.dot(right, out=out)


def choose(where: AnyArray, initial: AnyArray, states: AnyArray) -> AnyArray:
    """Choose rows; few are exchanged, which takes a third of the time of `numpy.where`."""
    rows, found = where[..., 0], states.copy()
    found[rows] = np.broadcast_to(initial, states.shape)[rows]
    return found


TARGET = Target(
    name="LLVM",
    dtypes=(np.dtype(np.float32), np.dtype(np.float64)),
    loops=(SEQUENCE, STEPWISE),
    single=single.step,
    multiply=multiply,
    empty=np.empty,
    plain=plain,
    at_once=AT_ONCE,
    accumulate=accumulate,
    choose=choose,
    adds=True,
    stream=Stepper,
)
