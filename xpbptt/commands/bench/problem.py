"""The numbers of a row, drawn once on the host, so that everyone computes the same."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

import xpbptt
from xpbptt._arrays.tree import map_leaves
from xpbptt._arrays.types import AnyArray, Namespace, Tree
from xpbptt.commands.bench.cases import Case

NETS: dict[str, Callable[..., xpbptt.Net]] = {
    "lstm": xpbptt.LSTM,
    "gru": xpbptt.GRU,
    "rnn": xpbptt.RNN,
}


class Problem(NamedTuple):
    """A row with its inputs, as NumPy arrays."""

    case: Case
    net: xpbptt.Net
    params: Tree
    x: AnyArray  # the input, and the gradient arriving at the output
    dy: AnyArray
    lengths: AnyArray | None  # the lengths of the sequences, from T/2 to T, where the row is masked
    xp: Namespace  # the library that xpbptt is timed on
    backend: str
    on_gpu: bool  # whether its arrays are on a GPU; the peers then compute there, too, if they can
    threads: int  # how many a peer may use that has to be told when it is made

    def to_device(self, tree: Tree) -> Tree:
        """Return a tree of arrays of `xp` for one of NumPy arrays."""
        return map_leaves(lambda array: self.xp.asarray(array, copy=True), tree)


def draw(case: Case, *, xp: Namespace, backend: str, threads: int = 1) -> Problem:
    """Draw the numbers of a row."""
    random = np.random.default_rng(5)
    net = NETS[case.cell](case.size, case.size)
    shape = (case.steps, case.batch, case.size)
    x, dy = (random.standard_normal(shape, dtype=np.dtype(case.dtype)) for _ in range(2))
    lengths = None
    if case.kind == "masked":
        lengths = random.integers((case.steps + 1) // 2, case.steps, case.batch, endpoint=True)
    cpu = 1  # the device type of the DLPack protocol
    on_gpu = xp.ones(1).__dlpack_device__()[0] != cpu
    params = net.init(random, dtype=case.dtype)
    return Problem(case, net, params, x, dy, lengths, xp, backend, on_gpu, threads)
