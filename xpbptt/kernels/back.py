"""The programs of a cell's step back."""

from typing import Any, NamedTuple

from xpbptt._arrays.once import once
from xpbptt.cells.cell import Cell
from xpbptt.cells.product import read, recurrent, shared, taken
from xpbptt.cells.projection import seen
from xpbptt.kernels import places
from xpbptt.kernels.ahead import forward, load, named_program, own_of, state_before, where, zones_of
from xpbptt.kernels.form import PLAIN, Form
from xpbptt.kernels.phases import uniform
from xpbptt.kernels.places import DM, DOUTPUT, DPROJECTED, MASK, PRODUCT, STEP
from xpbptt.kernels.program import Buffer, Program, Store
from xpbptt.kernels.symbols import Graph, Symbol, Tracing, Untraceable


class Backward(NamedTuple):
    """The step back, and its buffers.

    Attributes
    ----------
    back, watch : Program
        The step; the same that also writes the gradient that arrives at each step.
    records : tuple of Buffer
        The record of every step: du; dv, where it differs from du; the gradients of the cell's
        own parameters for each sequence, if the form adds them up those of all steps so far.
    direct : bool
        Whether the gradient of the part that the product reads has a part that is not a product.
    carried : tuple of Buffer
        The gradient of the state: of the part that the product reads its product and its direct
        part, then other parts; without a product one for each part.
    arrivals : tuple of Buffer
        The gradient that arrives at the state after each step.
    returned : tuple of Buffer
        The gradient that resets hand to the initial state, where there are any.
    every : tuple of Buffer
        The gradient of the state after each step that is given from outside.
    projected : tuple of Buffer
        The gradient of what is projected, if there is a projection.
    """

    back: Program
    watch: Program
    records: tuple[Buffer, ...]
    direct: bool
    carried: tuple[Buffer, ...]
    arrivals: tuple[Buffer, ...]
    returned: tuple[Buffer, ...]
    every: tuple[Buffer, ...]
    projected: tuple[Buffer, ...]


@once
def backward(cell: Cell, form: Form = PLAIN) -> Backward:
    """Trace the step back."""
    zoned = bool(form.zoned) and form.zoned[read(cell)]
    needed = form.masked or zoned or not recurrent(cell)
    found = _backward(cell, form, direct=needed)
    if needed:
        return found
    return _backward(cell, form, direct=True) if found.direct else found


def _backward(cell: Cell, form: Form, *, direct: bool) -> Backward:
    """Trace the step back, with or without a direct part of the gradient of what is multiplied.

    If `direct` is False, that of the result tells whether the cell needs one.
    """
    graph, product = Graph(), read(cell) if recurrent(cell) else None
    before = state_before(cell, graph, places.states(cell), form)
    after = cell.state(*(load(graph, part.at(later=True)) for part in places.states(cell)))
    residuals = forward(cell, Form(zoned=form.zoned)).residuals
    kept = tuple(load(graph, part.at()) for part in residuals)
    if form.zoned:
        count = len(form.zoned)
        kept, after = kept[:-count], cell.state(*kept[-count:])
    if cell.projection:
        kept = kept[:-1]
    keep = load(graph, MASK.at()) if form.masked else None

    def chosen(value: Any, otherwise: Any = 0) -> Symbol:
        return graph.number(value) if keep is None else where(graph, keep, value, otherwise)

    parts = [load(graph, part.at()) for part in places.gradients(cell)]
    dy = load(graph, DOUTPUT.at())
    if product is not None:
        dh = load(graph, PRODUCT.at())
        parts[product] = dh + parts[product] if direct else dh
    if form.states:
        more = [load(graph, part.at()) for part in places.every(cell)]
        parts = [one + other for one, other in zip(parts, more, strict=True)]
    whole = cell.state(*parts)
    dnew = cell.state(whole[0] + dy, *whole[1:])  # dy of a masked step may be NaN
    if cell.projection:  # the gradient of h is the projection's program's
        dnew = dnew._replace(**{cell.state._fields[0]: load(graph, DM.at())})
    through, passing = _parted(graph, zones_of(cell, graph, form), dnew)
    around = seen(cell, before), seen(cell, after)
    du, dv, dbefore, *dextra = cell.backward(
        kept, *around, through, xp=Tracing(graph), **own_of(cell, graph)
    )
    *dextra, ddt = (*dextra, ()) if not cell.side else dextra
    records = {"du": du} if shared(cell, du, dv) else {"du": du, "dv": taken(cell, dv)}
    blocks = [Buffer(name, STEP, len(gates)) for name, gates in records.items()]
    writes = [
        (block.at(k), chosen(gate))
        for block, gates in zip(blocks, records.values(), strict=True)
        for k, gate in enumerate(gates)
    ]
    own = places.dextras(cell, added=form.adds)
    so_far = [load(graph, part.at()) if form.adds else None for part in own]
    writes += [
        (part.at(), _total(chosen(value), before))
        for named in dextra
        for part, value, before in zip(own, named, so_far, strict=True)
    ]
    sides = places.side(cell, gradient=True)
    writes += [(part.at(), chosen(value)) for part, value in zip(sides, ddt, strict=True)]
    past = [_total(part, more) for part, more in zip(dbefore, passing, strict=True)]
    passed = zip(places.gradients(cell), past, whole, strict=True)
    writes += [
        (part.at(), chosen(value, unchanged))
        for k, (part, value, unchanged) in enumerate(passed)
        if k != product or (direct and not cell.projection)
    ]
    for access, value in writes:
        if "j" not in access.buffer.axes and not uniform(graph.nodes, value.place):
            message = f"it returns `{access.buffer.name}` without a sum over the units"
            raise Untraceable(message)
    stores = [Store(access, value.place) for access, value in writes]
    arriving = (whole[0] + chosen(dy), *dnew[1:])
    watched = [
        Store(part.at(), value.place)
        for part, value in zip(places.arrivals(cell), arriving, strict=True)
    ][1 if cell.projection else 0 :]
    more_records = (DPROJECTED,) if cell.projection else ()
    return Backward(
        back=named_program(cell, "back", graph, stores, form),
        watch=named_program(cell, "watch", graph, stores + watched, form),
        records=places.shaped(cell, (*blocks, *own, *sides, *more_records)),
        direct=direct or dbefore[product or 0] is not None,
        carried=places.shaped(cell, places.carried(cell)),
        arrivals=places.shaped(cell, places.arrivals(cell)),
        returned=places.shaped(cell, places.initial(cell, gradient=True)) if form.resets else (),
        every=places.shaped(cell, places.every(cell)),
        projected=(DM,) if cell.projection else (),
    )


def _total(part: Any, more: Symbol | None) -> Any:
    """Return the sum of two gradients, of which None stands for zero."""
    given = [each for each in (part, more) if each is not None]
    return sum(given[1:], given[0]) if given else 0


def _parted(graph: Graph, zones: list[Symbol | None], dnew: Any) -> tuple[Any, list[Symbol | None]]:
    """Return what of a gradient goes through the cell, and what passes it by."""
    pairs = list(zip(zones, dnew, strict=True))
    through = (part if zone is None else where(graph, zone, 0, part) for zone, part in pairs)
    passing = [None if zone is None else where(graph, zone, part, 0) for zone, part in pairs]
    return type(dnew)(*through), passing
