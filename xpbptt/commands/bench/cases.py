"""What is timed: the rows of the table."""

from collections.abc import Sequence
from typing import NamedTuple

CELLS = ("lstm", "gru", "rnn")
DTYPES = ("float32", "float64")
KINDS = ("train", "masked", "infer", "step", "stream")

Size = tuple[int, int, int]  # T, B, I = H
SIZES = ((100, 1, 32), (50, 32, 64), (100, 32, 128), (100, 32, 256))
INFER = (
    (100, 1, 32), (100, 1, 128), (1000, 1, 64),
    (50, 32, 64), (100, 32, 128), (100, 32, 256), (100, 8, 512),
)  # fmt: skip
# Of a stream so many steps are timed together, and the time is divided by their number.
STREAMS = ((100, 1, 16), (100, 1, 32), (100, 1, 64), (100, 1, 128), (100, 1, 256))


class Case(NamedTuple):
    """One row."""

    # ``train``, forward and backward; ``masked``, the same on sequences of unequal lengths;
    # ``infer``, forward alone, nothing kept; ``step`` and ``stream``, one time step of a stream by
    # `Net.step` and by `Net.stream`.
    kind: str
    cell: str
    dtype: str
    steps: int  # T, then B, then I = H
    batch: int
    size: int

    @property
    def name(self) -> str:
        """The row in one word, as the benchmarks are named."""
        return "-".join(map(str, self))

    @property
    def trained(self) -> bool:
        """Whether there is a backward pass."""
        return self.kind in {"train", "masked"}

    @property
    def streamed(self) -> bool:
        """Whether each of the T steps is a call of its own."""
        return self.kind in {"step", "stream"}


class Rows(NamedTuple):
    """The rows of a kind in the table."""

    cells: tuple[str, ...]
    dtypes: tuple[str, ...]
    sizes: tuple[Size, ...]


TABLE = {
    "train": Rows(CELLS, DTYPES, SIZES),
    "masked": Rows(("lstm",), ("float32",), SIZES),
    "infer": Rows(("lstm", "gru"), ("float32",), INFER),
    "step": Rows(("lstm",), DTYPES, STREAMS[1:2]),
    "stream": Rows(("lstm",), ("float32",), STREAMS),
}


def select(
    kinds: Sequence[str] | None = None,
    cells: Sequence[str] | None = None,
    dtypes: Sequence[str] | None = None,
    sizes: Sequence[Size] | None = None,
) -> list[Case]:
    """Return the rows that were asked for, in the order of the table.

    Without `kinds`, a kind is kept to its cells and dtypes in `TABLE`, unless others are named, and
    streams to their sizes: they are left out where others are named. A kind that is named is run
    for every cell and dtype left.

    Examples
    --------
    >>> len(select())
    49
    >>> [case.name for case in select(["step"], ["gru"], ["float64"])]
    ['step-gru-float64-100-1-32']
    """
    named = kinds is not None
    cases = []
    for kind in KINDS:
        if named and kind not in (kinds or ()):
            continue
        rows = TABLE[kind] if not named else TABLE[kind]._replace(cells=CELLS, dtypes=DTYPES)
        found = [
            Case(kind, cell, dtype, *size)
            for cell in cells or rows.cells
            for dtype in dtypes or rows.dtypes
            for size in sizes or rows.sizes
        ]
        if named or sizes is None or not found[0].streamed:
            cases += found
    return list(dict.fromkeys(cases))
