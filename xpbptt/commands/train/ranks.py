"""The processes that train together: rank 0 leads and saves, the others follow its steps.

``mpiexec -n 2 python -m mpi4py -m xpbptt train`` starts them. MPI is imported where mpi4py has been
imported before, as by ``python -m mpi4py``; otherwise there is one process.
"""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from xpbptt import parallel
from xpbptt._arrays.tree import map_leaves
from xpbptt._arrays.types import AnyArray, Tree
from xpbptt.commands.base.errors import UserError
from xpbptt.commands.train.interrupt import STOPPING
from xpbptt.commands.train.job import Job

STEP, STOP = 1.0, 0.0  # what rank 0 tells the others


@dataclass(frozen=True)
class Ranks:
    """The processes that share a batch, of which this is one."""

    rank: int
    size: int
    all_reduce: Callable[[AnyArray], None]  # sums an array over all processes, in place
    bcast: Callable[[AnyArray], None]  # copies that of rank 0 to all, in place

    def tell(self, what: float) -> None:
        """Tell the others what comes next; only rank 0 does."""
        self.bcast(np.asarray([what]))

    def told(self) -> float:
        """Wait for what rank 0 tells."""
        what = np.zeros(1)
        self.bcast(what)
        return float(what[0])

    def gradients(
        self,
        function: Callable[..., Any],
        params: Tree,
        x: AnyArray,
        targets: AnyArray,
        state: Tree,
        *,
        seed: tuple[int, ...],
    ) -> tuple[AnyArray, Tree, Tree]:
        """Return loss, gradients and state of a whole batch (T, B), each process doing its share.

        `function` takes the parameters, a share of the rest and a seed for this share, and returns
        the same of it. Each share has a seed of its own, so that dropout drops other numbers in it.
        """
        if self.rank == 0:
            self.tell(STEP)
        batch = x.shape[1]
        mine = parallel.shard(np.arange(batch), self.rank, self.size, axis=0)
        shares = parallel.shard((x, targets), self.rank, self.size)
        of_state = parallel.shard(state, self.rank, self.size, axis=0)
        loss, grads, after = function(params, *shares, of_state, seed=(*seed, self.rank))
        loss, grads = parallel.mean((np.asarray(loss), grads), len(mine), self.all_reduce)

        def joined(part: AnyArray) -> AnyArray:
            whole = np.zeros((batch, *part.shape[1:]), part.dtype)
            whole[mine] = part
            self.all_reduce(whole)
            return whole

        return loss, grads, map_leaves(joined, after)


def find() -> Ranks | None:
    """Return the processes that this one was started with, or None if it is alone."""
    if "mpi4py" not in sys.modules:
        return None
    module = import_module("mpi4py.MPI")
    comm = module.COMM_WORLD
    if comm.size == 1:
        return None
    all_reduce = partial(comm.Allreduce, module.IN_PLACE)
    return Ranks(comm.rank, comm.size, all_reduce, comm.Bcast)


def check(text: str | None, ranks: Ranks | None) -> None:
    """Raise UserError if the ranks cannot all read the text."""
    if ranks is not None and text == "-":
        message = (
            f"--text - cannot be read by {ranks.size} ranks: standard input goes to one of them; "
            "give a file"
        )
        raise UserError(message)


def shared(job: Job, ranks: Ranks | None) -> Job:
    """Return a job whose steps all processes do together, from rank 0's parameters.

    Raises UserError if the batch or the library does not allow it.
    """
    if ranks is None:
        return job
    if job.trainer.settings.batch < ranks.size:
        message = (
            f"--batch {job.trainer.settings.batch} has no share for each of {ranks.size} ranks"
        )
        raise UserError(message)
    if "numpy" not in job.trainer.xp.__name__:
        message = f"{ranks.size} ranks of MPI train on numpy only: give --backend numpy"
        raise UserError(message)
    trainer = replace(job.trainer, together=ranks.gradients)
    params = parallel.broadcast(job.start.params, ranks.bcast)
    return replace(job, trainer=trainer, start=job.start._replace(params=params))


@contextmanager
def led(ranks: Ranks | None) -> Iterator[None]:
    """Let the others follow the steps in this block; at its end, also by an error, they stop."""
    try:
        yield
    finally:
        if ranks is not None:
            ranks.tell(STOP)


def follow(job: Job, ranks: Ranks) -> int:
    """Do every step that rank 0 does, and return the exit code; a signal is for rank 0."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
    progress = job.start
    # Rank 0 tells of numbers that are not finite.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        while ranks.told() == STEP:
            progress, _ = job.trainer.step(progress)
    return 0
