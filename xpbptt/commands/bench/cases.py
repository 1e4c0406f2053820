"""What is timed: the rows of the table."""

from collections.abc import Sequence
from typing import NamedTuple

CELLS = ("lstm", "gru", "rnn")
DTYPES = ("float32", "float64")
KINDS = ("train", "masked", "step")
SIZES = ((100, 1, 32), (50, 32, 64), (100, 32, 128), (100, 32, 256))
STREAM = (100, 1, 32)  # as many steps are timed together, and the time is divided by their number

Size = tuple[int, int, int]


class Case(NamedTuple):
    """One row."""

    # ``train``, forward and backward; ``masked``, the same on sequences of unequal lengths;
    # ``step``, one time step of a stream.
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


def select(
    kinds: Sequence[str] | None = None,
    cells: Sequence[str] | None = None,
    dtypes: Sequence[str] | None = None,
    sizes: Sequence[Size] | None = None,
) -> list[Case]:
    """Return the rows that were asked for, in the order of the table.

    Without `kinds`, what only some cells, dtypes and sizes of the table have (``masked``: the
    LSTM in float32; ``step``: the LSTM at B = 1, H = 32) is kept to those, unless others are
    named. A kind that is named is run for every cell and dtype left.

    Examples
    --------
    >>> len(select())
    30
    >>> [case.name for case in select(["step"], ["gru"], ["float64"])]
    ['step-gru-float64-100-1-32']
    """
    named = kinds is not None
    cases = []
    for kind in KINDS:
        if named and kind not in (kinds or ()):
            continue
        if kind == "step" and not named and sizes is not None:
            continue
        some = ("lstm",) if kind != "train" and not named else CELLS
        few = DTYPES[:1] if kind == "masked" and not named else DTYPES
        default = (STREAM,) if kind == "step" else SIZES
        cases += [
            Case(kind, cell, dtype, *size)
            for cell in cells or some
            for dtype in dtypes or few
            for size in sizes or default
        ]
    return list(dict.fromkeys(cases))
