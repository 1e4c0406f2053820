"""The orders in which threads get to run.

A GPU promises none. A fault in how threads wait for each other shows where some run ahead: in a
greedy order a block runs until all its threads wait for another block; in the starved one, after
every fourth barrier or so, half of the threads get to run only when all the others wait.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from .compiler import fibres

ORDERS = (
    *("fair", "reversed", "shuffled"),
    *("greedy", "greedy-reversed", "greedy-shuffled", "starved"),
)


@contextmanager
def order(name: str, seed: int = 0) -> Iterator[None]:
    """Have the threads of the kernels that are launched inside the ``with`` run in an order.

    Parameters
    ----------
    name : str
        One of `ORDERS`; outside, it is the first.
    seed : int
        What a shuffled order is drawn from.
    """
    fibres().cupy_on_cpu_order(ORDERS.index(name), seed)
    try:
        yield
    finally:
        fibres().cupy_on_cpu_order(0, 0)
