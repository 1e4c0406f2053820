"""The programs of a cell: its step forward and its step back, in each of their forms."""

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from xpbptt._arrays.once import once
from xpbptt.cells.cell import Cell
from xpbptt.cells.product import read, recurrent, shared, spread, taken
from xpbptt.kernels import places
from xpbptt.kernels.form import PLAIN, Form
from xpbptt.kernels.phases import uniform
from xpbptt.kernels.places import DOUTPUT, FACTORS, MASK, PRODUCT, RESET, SIZE, STEP
from xpbptt.kernels.program import Access, Buffer, Program, Store, live
from xpbptt.kernels.symbols import SUMS, Graph, Symbol, Tracing, Untraceable

Kind = Literal["record", "advance", "recompute", "back", "watch", "single"]


class Forward(NamedTuple):
    """The step forward, and its residuals.

    Attributes
    ----------
    record, advance, recompute : Program
        The step with its residuals, without them, and the residuals alone.
    residuals : tuple of Buffer
        The buffers of the residuals of every step.
    states : tuple of Buffer
        The buffers of the states.
    products : tuple of Buffer
        The buffers of the products: u, and v if a gate has one.
    extras : tuple of Buffer
        The buffers of the cell's own parameters.
    """

    record: Program
    advance: Program
    recompute: Program
    residuals: tuple[Buffer, ...]
    states: tuple[Buffer, ...]
    products: tuple[Buffer, ...]
    extras: tuple[Buffer, ...]


class Backward(NamedTuple):
    """The step back, and its buffers.

    Attributes
    ----------
    back, watch : Program
        The step; the same that also writes the gradient that arrives at each step.
    records : tuple of Buffer
        The record of every step: du; dv, where it differs from du; the gradients of the cell's
        own parameters for each sequence.
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
    """

    back: Program
    watch: Program
    records: tuple[Buffer, ...]
    direct: bool
    carried: tuple[Buffer, ...]
    arrivals: tuple[Buffer, ...]
    returned: tuple[Buffer, ...]
    every: tuple[Buffer, ...]


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


@once
def forward(cell: Cell, form: Form = PLAIN) -> Forward:
    """Trace the step forward."""
    form = form._replace(states=False)  # they make no difference here
    graph = Graph()
    before = _before(cell, graph, places.states(cell), form)
    new, kept = _forward(cell, graph, places.products(cell), before)
    held = new
    if form.zoned:
        kept = (*kept, *(graph.number(part) for part in new))  # the state does not tell
        held = [
            part if zone is None else _where(graph, zone, past, part)
            for zone, past, part in zip(_zones(cell, graph, form), before, new, strict=True)
        ]
    if form.masked:
        keep = _load(graph, MASK.at())
        held = [_where(graph, keep, after, past) for after, past in zip(held, before, strict=True)]
    stores = [
        Store(buffer.at(later=True), graph.number(part).place)
        for buffer, part in zip(places.states(cell), held, strict=True)
    ]
    residuals = [
        Buffer(f"residual_{k}", _axes(graph, part), logical=graph.is_truth_value(part))
        for k, part in enumerate(kept)
    ]
    kept_too = [
        Store(place.at(), graph.lift(part).place)
        for place, part in zip(residuals, kept, strict=True)
    ]
    return Forward(
        record=_program(cell, "record", graph, stores + kept_too, form),
        advance=_program(cell, "advance", graph, stores, form),
        recompute=_program(cell, "recompute", graph, kept_too, form),
        residuals=tuple(residuals),
        states=tuple(places.states(cell)),
        products=places.products(cell),
        extras=tuple(places.extras(cell)),
    )


@once
def single(cell: Cell) -> Program:
    """Trace the step forward of a stream, whose buffers are those of one step."""
    if cell.side:
        message = "a step of a stream with a side input has no kernel"
        raise Untraceable(message)
    graph = Graph()
    blocks = tuple(buffer._replace(axes="bj") for buffer in places.products(cell))
    before = [buffer._replace(axes="bj") for buffer in places.states(cell)]
    new, _ = _forward(cell, graph, blocks, _before(cell, graph, before, PLAIN))
    stores = [
        Store(place.at(), graph.number(part).place)
        for place, part in zip(places.followers(cell), new, strict=True)
    ]
    return _program(cell, "single", graph, stores, PLAIN)


def _before(cell: Cell, graph: Graph, buffers: list[Buffer], form: Form) -> Any:
    """Return the state that a step starts from."""
    state = cell.state(*(_load(graph, part.at()) for part in buffers))
    if not form.resets:
        return state
    again = _load(graph, RESET.at())
    first = [_load(graph, part.at()) for part in places.initial(cell)]
    return cell.state(*(_where(graph, again, a, b) for a, b in zip(first, state, strict=True)))


def _zones(cell: Cell, graph: Graph, form: Form) -> list[Symbol | None]:
    """Return where the parts of the state are left what they were; None for nowhere."""
    if not form.zoned:
        return [None] * len(cell.state._fields)
    pairs = zip(places.zones(cell), form.zoned, strict=True)
    return [_load(graph, part.at()) if wanted else None for part, wanted in pairs]


def _forward(cell: Cell, graph: Graph, blocks: tuple[Buffer, ...], state: Any) -> tuple[Any, Any]:
    """Trace a cell's `forward`; return the state after it, and the residuals."""
    u, *v = (
        [_load(graph, block.at(k)) + _load(graph, bias.at(k)) for k in range(block.blocks)]
        for block, bias in zip(blocks, places.biases(cell), strict=True)
    )
    given = cell.gates(*u), spread(cell, v[0] if v else [])
    new, kept = cell.forward(*given, state, xp=Tracing(graph), **_own(cell, graph))
    for part in kept:
        if not isinstance(part, Symbol):  # the eager engine refuses it
            message = f"a residual is a {type(part).__name__}, not an array"
            raise Untraceable(message)
    return new, kept


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
    before = _before(cell, graph, places.states(cell), form)
    after = cell.state(*(_load(graph, part.at(later=True)) for part in places.states(cell)))
    residuals = forward(cell, Form(zoned=form.zoned)).residuals
    kept = tuple(_load(graph, part.at()) for part in residuals)
    if form.zoned:
        count = len(form.zoned)
        kept, after = kept[:-count], cell.state(*kept[-count:])
    keep = _load(graph, MASK.at()) if form.masked else None

    def chosen(value: Any, otherwise: Any = 0) -> Symbol:
        return graph.number(value) if keep is None else _where(graph, keep, value, otherwise)

    parts = [_load(graph, part.at()) for part in places.gradients(cell)]
    dy = _load(graph, DOUTPUT.at())
    if product is not None:
        dh = _load(graph, PRODUCT.at())
        parts[product] = dh + parts[product] if direct else dh
    whole = cell.state(*parts)
    if form.states:
        more = [_load(graph, part.at()) for part in places.every(cell)]
        whole = cell.state(*(one + other for one, other in zip(whole, more, strict=True)))
    dnew = cell.state(whole[0] + dy, *whole[1:])  # dy of a masked step may be NaN
    through, passing = _parted(graph, _zones(cell, graph, form), dnew)
    du, dv, dbefore, *dextra = cell.backward(
        kept, before, after, through, xp=Tracing(graph), **_own(cell, graph)
    )
    *dextra, ddt = (*dextra, ()) if not cell.side else dextra
    records = {"du": du} if shared(cell, du, dv) else {"du": du, "dv": taken(cell, dv)}
    blocks = [Buffer(name, STEP, len(gates)) for name, gates in records.items()]
    writes = [
        (block.at(k), chosen(gate))
        for block, gates in zip(blocks, records.values(), strict=True)
        for k, gate in enumerate(gates)
    ]
    own = places.extras(cell, gradient=True)
    writes += [
        (part.at(), chosen(value))
        for named in dextra
        for part, value in zip(own, named, strict=True)
    ]
    sides = places.side(cell, gradient=True)
    writes += [(part.at(), chosen(value)) for part, value in zip(sides, ddt, strict=True)]
    past = [_total(part, more) for part, more in zip(dbefore, passing, strict=True)]
    passed = zip(places.gradients(cell), past, whole, strict=True)
    writes += [
        (part.at(), chosen(value, unchanged))
        for k, (part, value, unchanged) in enumerate(passed)
        if direct or k != product
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
    ]
    return Backward(
        back=_program(cell, "back", graph, stores, form),
        watch=_program(cell, "watch", graph, stores + watched, form),
        records=(*blocks, *own, *sides),
        direct=direct or dbefore[product or 0] is not None,
        carried=places.carried(cell),
        arrivals=tuple(places.arrivals(cell)),
        returned=tuple(places.initial(cell, gradient=True)) if form.resets else (),
        every=tuple(places.every(cell)),
    )


def _total(part: Any, more: Symbol | None) -> Any:
    """Return the sum of two gradients, of which None stands for zero."""
    given = [each for each in (part, more) if each is not None]
    return sum(given[1:], given[0]) if given else 0


def _parted(graph: Graph, zones: list[Symbol | None], dnew: Any) -> tuple[Any, list[Symbol | None]]:
    """Return what of a gradient goes through the cell, and what passes it by."""
    pairs = list(zip(zones, dnew, strict=True))
    through = (part if zone is None else _where(graph, zone, 0, part) for zone, part in pairs)
    passing = [None if zone is None else _where(graph, zone, part, 0) for zone, part in pairs]
    return type(dnew)(*through), passing


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
    return Task(
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


def _returned(cell: Cell, back: Backward) -> tuple[str, ...]:
    """Return where a reset hands each of the buffers that are carried."""
    parts = [buffer.name for buffer in places.gradients(cell)]
    names = [buffer.name for buffer in back.returned]
    of_product = {PRODUCT.name: names[read(cell)]}
    handed = dict(zip(parts, names, strict=True)) | of_product
    return tuple(handed[buffer.name] for buffer in back.carried)


def _own(cell: Cell, graph: Graph) -> dict[str, Any]:
    """Return the cell's own parameters and its side input as symbols, by keyword."""
    own: dict[str, Any] = {}
    if cell.extra is not None:
        named = type(cell.extra(SIZE))  # noqa: S610 - not a query
        own["extra"] = named(*(_load(graph, part.at()) for part in places.extras(cell)))
    if cell.side:
        own["dt"] = tuple(_load(graph, part.at()) for part in places.side(cell))
    return own


def _axes(graph: Graph, part: Symbol) -> str:
    """Return the axes of a residual: those of one number for each sequence, if it is one."""
    nodes = graph.nodes
    below = (nodes[place] for place in live(nodes, [part.place]))
    of_sequence = any(
        operation in SUMS or (operation == "load" and operands[0].buffer.axes == "tb1")
        for operation, operands in below
    )
    if not of_sequence or not uniform(nodes, part.place):
        return STEP
    return "tb" if part.place in graph.narrow else "tb1"


def _load(graph: Graph, access: Access) -> Symbol:
    return graph.add("flag" if access.buffer.logical else "load", access)


def _where(graph: Graph, keep: Symbol, value: Any, otherwise: Any) -> Symbol:
    return Tracing(graph).where(keep, value, otherwise)


def _program(cell: Cell, kind: Kind, graph: Graph, stores: Iterable[Store], form: Form) -> Program:
    letters = "".join(c if c.isascii() and c.isalnum() else "_" for c in cell.name)
    if letters[:1].isdigit():  # not a valid name
        letters = f"_{letters}"
    return Program(f"{letters}_{form.label}{kind}", tuple(graph.nodes), tuple(stores))
