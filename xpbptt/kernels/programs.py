"""The programs of a cell: its step forward and its step back, in each of their forms."""

from typing import NamedTuple

from xpbptt.cells.cell import Cell
from xpbptt.cells.product import read, recurrent
from xpbptt.kernels import places, projection
from xpbptt.kernels.ahead import Forward, Kind, forward, single
from xpbptt.kernels.back import Backward, backward
from xpbptt.kernels.form import PLAIN, Form
from xpbptt.kernels.places import DM, DPROJECTED, FACTORS, PRODUCT, PROJECTED, RESET, M
from xpbptt.kernels.program import Program

__all__ = ["Backward", "Forward", "Kind", "Task", "backward", "forward", "single", "task"]


class Task(NamedTuple):
    """A program to compile, with what a loop over time around it needs to know.

    Attributes
    ----------
    kind : str
        Which program of its cell it is.
    program : Program
        The program.
    gates, recurrent : int
        The number of gates G, and of those that have a product with W_hh.
    states : tuple of str
        The buffers of the state.
    read : str
        The buffer of the part of the state that W_hh multiplies.
    carried : tuple of str
        The buffers of the state's gradient: the product, the direct part, then other parts;
        without a product one for each part.
    record : str
        The buffer of the gradient that is multiplied by W_hh.
    restored : str
        The buffer of what a reset restores of the part that W_hh multiplies; empty where there are
        no resets.
    returned : tuple of str
        The buffers of the gradient that resets hand to the initial state, one for each of those
        that are carried.
    drops : bool
        Whether what W_hh multiplies is itself multiplied by the buffer `factors`.
    projection : Task or None
        The program of the projection, a step over the columns of the output: forward a loop runs it
        after the product of `m` with W_hr, which is `projected`, back before the product of
        `dprojected`, which is `dm`.
    """

    kind: Kind
    program: Program
    gates: int
    recurrent: int
    states: tuple[str, ...]
    read: str
    carried: tuple[str, ...]
    record: str
    restored: str = ""
    returned: tuple[str, ...] = ()
    drops: bool = False
    projection: "Task | None" = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the buffers of the program, and of those of the projection."""
        if self.projection is None:
            return self.program.names
        pair = (M, PROJECTED) if self.kind in {"record", "advance"} else (DPROJECTED, DM)
        more = (*self.projection.program.names, *(buffer.name for buffer in pair))
        return tuple(dict.fromkeys((*self.program.names, *more)))

    @property
    def projects(self) -> bool:
        """Whether the program leaves the output, the product of its buffer `m`, to the caller."""
        return M.name in self.program.names

    @property
    def output(self) -> str:
        """The buffer of the output after the step of a stream."""
        return self.states[0].replace("state_", "new_", 1)

    @property
    def given(self) -> tuple[str, ...]:
        """What the loop forward reads itself, to choose what W_hh multiplies."""
        resets = (RESET.name, self.restored) if self.restored and self.recurrent else ()
        return (*resets, FACTORS.name) if self.drops else resets

    @property
    def given_back(self) -> tuple[str, ...]:
        """What the loop back reads itself."""
        resets = (RESET.name,) if self.restored else ()
        return (*resets, FACTORS.name) if self.drops else resets


def task(cell: Cell, kind: Kind, form: Form = PLAIN) -> Task:
    """Return one program of a cell, to be compiled.

    Residuals are computed again from the states that steps start from, so without resets.
    """
    if kind == "recompute":
        form = Form(zoned=form.zoned)
    back, names = backward(cell, form), [buffer.name for buffer in places.states(cell)]
    if kind == "single":
        program = single(cell)
    else:
        program = getattr(back if kind in {"back", "watch"} else forward(cell, form), kind)
    records = [buffer.name for buffer in back.records]
    found = Task(
        kind,
        program,
        gates=len(cell.gates._fields),
        recurrent=len(recurrent(cell)),
        states=tuple(names),
        read=names[read(cell)],
        carried=tuple(buffer.name for buffer in back.carried),
        record="dv" if "dv" in records else "du",
        restored=places.initial(cell)[read(cell)].name if form.resets else "",
        returned=_returned(cell, back) if form.resets else (),
        drops=form.drops,
    )
    if not cell.projection or kind in {"recompute", "single"}:
        return found
    if kind in {"record", "advance"}:
        program = projection.ahead(cell, form)
    else:
        program = projection.back(cell, form, direct=back.direct, watch=kind == "watch")
    return found._replace(projection=found._replace(kind="recompute", program=program))


def _returned(cell: Cell, back: Backward) -> tuple[str, ...]:
    """Return where a reset hands each of the buffers that are carried."""
    parts = [buffer.name for buffer in places.gradients(cell)]
    names = [buffer.name for buffer in back.returned]
    of_product = {PRODUCT.name: names[read(cell)]}
    handed = dict(zip(parts, names, strict=True)) | of_product
    return tuple(handed[buffer.name] for buffer in back.carried)
