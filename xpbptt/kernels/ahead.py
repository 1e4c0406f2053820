"""The programs of a cell's step forward, and what tracing both ways takes."""

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from xpbptt._arrays.once import once
from xpbptt.cells.cell import Cell
from xpbptt.cells.product import spread
from xpbptt.cells.projection import seen
from xpbptt.kernels import places
from xpbptt.kernels.form import PLAIN, Form
from xpbptt.kernels.phases import uniform
from xpbptt.kernels.places import MASK, PROJECTED, RESET, SIZE, STEP, M
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
    projected : tuple of Buffer
        The buffers of what is projected and of the product, if there is a projection.
    """

    record: Program
    advance: Program
    recompute: Program
    residuals: tuple[Buffer, ...]
    states: tuple[Buffer, ...]
    products: tuple[Buffer, ...]
    extras: tuple[Buffer, ...]
    projected: tuple[Buffer, ...]


@once
def forward(cell: Cell, form: Form = PLAIN) -> Forward:
    """Trace the step forward."""
    form = form._replace(states=False, adds=False)  # they make no difference here
    if form.zoned and cell.projection:
        message = "zoneout of a cell with a projection has no kernel"
        raise Untraceable(message)
    graph = Graph()
    before = state_before(cell, graph, places.states(cell), form)
    new, kept = _forward(cell, graph, places.products(cell), before)
    held, buffers = list(new), places.states(cell)
    if cell.projection:  # the output is the projection's program's
        m, *held = held
        if form.masked:  # where it may be NaN, which would reach the gradient of W_hr
            m = where(graph, load(graph, MASK.at()), m, 0)
        kept, buffers, before = (*kept, m), buffers[1:], before[1:]
    if form.zoned:
        kept = (*kept, *(graph.number(part) for part in new))  # the state does not tell
        held = [
            part if zone is None else where(graph, zone, past, part)
            for zone, past, part in zip(zones_of(cell, graph, form), before, new, strict=True)
        ]
    if form.masked:
        keep = load(graph, MASK.at())
        held = [where(graph, keep, after, past) for after, past in zip(held, before, strict=True)]
    stores = [
        Store(buffer.at(later=True), graph.number(part).place)
        for buffer, part in zip(buffers, held, strict=True)
    ]
    if cell.projection:
        stores.append(Store(M.at(), graph.number(m).place))
    residuals = [
        Buffer(f"residual_{k}", _axes(graph, part), logical=graph.is_truth_value(part))
        for k, part in enumerate(kept)
    ]
    kept_too = [
        Store(place.at(), graph.lift(part).place)
        for place, part in zip(residuals, kept, strict=True)
    ]
    return Forward(
        record=named_program(cell, "record", graph, stores + kept_too, form),
        advance=named_program(cell, "advance", graph, stores, form),
        recompute=named_program(cell, "recompute", graph, kept_too, form),
        residuals=tuple(residuals),
        states=places.shaped(cell, places.states(cell)),
        products=places.products(cell),
        extras=tuple(places.extras(cell)),
        projected=places.shaped(cell, (M, PROJECTED)) if cell.projection else (),
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
    new, _ = _forward(cell, graph, blocks, state_before(cell, graph, before, PLAIN))
    written = places.followers(cell)
    if cell.projection:  # the product of it is the output
        written[0] = M
    stores = [
        Store(place.at(), graph.number(part).place)
        for place, part in zip(written, new, strict=True)
    ]
    return named_program(cell, "single", graph, stores, PLAIN)


def state_before(cell: Cell, graph: Graph, buffers: list[Buffer], form: Form) -> Any:
    """Return the state that a step starts from."""
    state = cell.state(*(load(graph, part.at()) for part in buffers))
    if not form.resets:
        return state
    again = load(graph, RESET.at())
    first = [load(graph, part.at()) for part in places.initial(cell)]
    return cell.state(*(where(graph, again, a, b) for a, b in zip(first, state, strict=True)))


def zones_of(cell: Cell, graph: Graph, form: Form) -> list[Symbol | None]:
    """Return where the parts of the state are left what they were; None for nowhere."""
    if not form.zoned:
        return [None] * len(cell.state._fields)
    pairs = zip(places.zones(cell), form.zoned, strict=True)
    return [load(graph, part.at()) if wanted else None for part, wanted in pairs]


def _forward(cell: Cell, graph: Graph, blocks: tuple[Buffer, ...], state: Any) -> tuple[Any, Any]:
    """Trace a cell's `forward`; return the state after it, and the residuals."""
    u, *v = (
        [load(graph, block.at(k)) + load(graph, bias.at(k)) for k in range(block.blocks)]
        for block, bias in zip(blocks, places.biases(cell), strict=True)
    )
    given = cell.gates(*u), spread(cell, v[0] if v else []), seen(cell, state)
    new, kept = cell.forward(*given, xp=Tracing(graph), **own_of(cell, graph))
    for part in kept:
        if not isinstance(part, Symbol):  # the eager engine refuses it
            message = f"a residual is a {type(part).__name__}, not an array"
            raise Untraceable(message)
    return new, kept


def own_of(cell: Cell, graph: Graph) -> dict[str, Any]:
    """Return the cell's own parameters and its side input as symbols, by keyword."""
    own: dict[str, Any] = {}
    if cell.extra is not None:
        named = type(cell.extra(SIZE))  # noqa: S610 - not a query
        own["extra"] = named(*(load(graph, part.at()) for part in places.extras(cell)))
    if cell.side:
        own["dt"] = tuple(load(graph, part.at()) for part in places.side(cell))
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


def load(graph: Graph, access: Access) -> Symbol:
    """Return the symbol of an element of a buffer."""
    return graph.add("flag" if access.buffer.logical else "load", access)


def where(graph: Graph, keep: Symbol, value: Any, otherwise: Any) -> Symbol:
    """Return the symbol of a choice."""
    return Tracing(graph).where(keep, value, otherwise)


def named_program(
    cell: Cell, kind: str, graph: Graph, stores: Iterable[Store], form: Form
) -> Program:
    """Return the program of some stores, with a name that says of what it is."""
    letters = "".join(c if c.isascii() and c.isalnum() else "_" for c in cell.name)
    if letters[:1].isdigit():  # not a valid name
        letters = f"_{letters}"
    return Program(f"{letters}_{form.label}{kind}", tuple(graph.nodes), tuple(stores))
