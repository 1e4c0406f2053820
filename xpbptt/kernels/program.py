"""What the kernels of a cell compute: where each number comes from, and where results go.

A kernel runs over the B·H elements of one time step. It is given whole buffers and the number of
the step, so that nothing has to be sliced in the time loop.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from xpbptt.kernels.symbols import SUMS, Node

LOADS = {"load", "flag"}  # a number, a truth value
LEAVES = LOADS | {"constant", "units"}


class Buffer(NamedTuple):
    """An array that a kernel works on.

    Attributes
    ----------
    name : str
        The name of the kernel's argument.
    axes : str
        What each axis stands for: "t" the time step, "b" the sequence, "j" the unit that a program
        is at; "1" an axis of length 1; and, of an array that is to be made, "j" the hidden unit and
        "p" the column of a projected output.
    blocks : int
        How many blocks, one a gate, lie side by side along the last axis.
    logical : bool
        Whether its elements are truth values.
    spent : bool
        Whether it is not read after the step, so that a kernel may overwrite it.
    """

    name: str
    axes: str
    blocks: int = 1
    logical: bool = False
    spent: bool = False

    def at(self, block: int = 0, *, later: bool = False) -> "Access":
        """Return the element of this step, or of the one after it, in a block."""
        return Access(self, block, later)


class Access(NamedTuple):
    """One element of a buffer, as a kernel at step t, sequence b, unit j reads or writes it."""

    buffer: Buffer
    block: int
    later: bool

    @property
    def row(self) -> tuple[str, ...]:
        """The index of the row that the element is in, an expression for each axis but "j"."""
        step = "t + 1" if self.later else "t"
        return tuple(step if axis == "t" else axis for axis in self.buffer.axes if axis not in "j1")

    @property
    def column(self) -> str:
        """The place of the element in its row."""
        return "j" if self.block == 0 else f"{self.block} * size + j"


class Store(NamedTuple):
    """An element that a kernel writes, and the place in `nodes` of the expression of its value."""

    access: Access
    place: int


class Program(NamedTuple):
    """A kernel: its expressions, and its stores, which are made after all loads."""

    name: str
    nodes: tuple[Node, ...]
    stores: tuple[Store, ...]

    def live(self) -> list[int]:
        """Return the places of the expressions that the stores depend on, in order."""
        return live(self.nodes, [store.place for store in self.stores])

    def buffers(self) -> tuple[list[Buffer], list[Buffer]]:
        """Return the buffers that are only read, and those that are written."""
        written = _once(store.access.buffer for store in self.stores)
        loads = (self.nodes[place] for place in self.live())
        read = _once(node.operands[0].buffer for node in loads if node.operation in LOADS)
        return [buffer for buffer in read if buffer not in written], written

    @property
    def sums(self) -> bool:
        """Whether it takes sums and the like over the hidden units, or writes what they share."""
        return any(self.nodes[place].operation in SUMS for place in self.live()) or any(
            "j" not in store.access.buffer.axes for store in self.stores
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the buffers, those that are only read first."""
        read, written = self.buffers()
        return tuple(buffer.name for buffer in (*read, *written))


def live(nodes: Sequence[Node], places: list[int], stop: Collection[int] = ()) -> list[int]:
    """Return the places of expressions, and of those that they depend on, in order.

    What the expressions at `stop` depend on is left out.
    """
    found: set[int] = set()
    waiting = list(places)
    while waiting:
        place = waiting.pop()
        if place not in found:
            found.add(place)
            operation, operands = nodes[place]
            waiting += operands if operation not in LEAVES and place not in stop else ()
    return sorted(found)


def _once(buffers: Iterable[Buffer]) -> list[Buffer]:
    return list(dict.fromkeys(buffers))
