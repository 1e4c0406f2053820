"""What an engine takes beside the arrays of its steps: it depends on the library and the device."""

from typing import Any, NamedTuple

from xpbptt.bptt.engines.engine import fastest
from xpbptt.bptt.layers.memory import Sizes
from xpbptt.bptt.layers.noise import Noise, Rates
from xpbptt.cells.cell import Cell
from xpbptt.cells.recurrence import Recurrence
from xpbptt.kernels import Form, Kind, target_of

DTYPES = {2: "float16", 4: "float32", 8: "float64"}  # by the bytes of an element
PASSES: tuple[tuple[Kind, ...], ...] = (("record",), ("back",))


class Besides(NamedTuple):
    """What an engine takes.

    Attributes
    ----------
    pairs : bool
        Whether it runs both directions of a layer at once, so that what each needs is there then.
    scratch : int
        What a pass back of one direction takes for itself, in elements.
    """

    pairs: bool = False
    scratch: int = 0


def besides(cell: Cell | Recurrence, rates: Rates, sizes: Sizes) -> Besides:
    """Return what the engine of a layer takes, which may compile its programs first."""
    xp, batch, hidden = sizes.xp, sizes.batch, sizes.hidden
    target, dtype = target_of(xp), DTYPES.get(sizes.itemsize)
    if target is None or not any(loop.pair or loop.scratch for loop in target.loops):
        return Besides()
    if isinstance(cell, Recurrence) or dtype is None or 0 in (sizes.length, batch, hidden):
        return Besides()
    form = Form(sizes.masked, sizes.resets, sizes.every)
    if rates.recurrent or rates.zoneout:
        form = form._replace(drops=rates.recurrent > 0, zoned=Noise(rates, 0).zoned)
    kind: Any = xp.empty(0, dtype=getattr(xp, dtype)).dtype
    engines = (fastest(cell, kinds, kind, hidden, batch, form=form, xp=xp) for kinds in PASSES)
    found = [engine.compiled for engine in engines if engine.compiled is not None]
    taken = [each.scratch(hidden, batch, 2 if sizes.paired else 1) for each in found]
    pairs = any(each.loop.pair is not None for each in found)
    return Besides(pairs, -(-max(taken, default=0) // sizes.itemsize))
