"""The programs of a cell: its step forward and its step back, in each of their forms."""

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from xpbptt._arrays.once import once
from xpbptt.cells.cell import Cell
from xpbptt.kernels.form import PLAIN, Form
from xpbptt.kernels.program import Access, Buffer, Program, Store
from xpbptt.kernels.symbols import Graph, Symbol, Tracing, Untraceable

Kind = Literal["record", "advance", "recompute", "back", "watch", "single"]

STEP = "tbj"
MASK = Buffer("mask", "tb", logical=True)
RESET = Buffer("reset", "tb", logical=True)
FACTORS = Buffer("factors", "bj")
DOUTPUT = Buffer("dy", STEP)
PRODUCT = Buffer("dh", "bj", spent=True)
SIZE = 7919  # a hidden size that no other dimension of a cell's parameters is likely to have


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
        The buffers of the products u and v of all gates.
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
        Whether the gradient of the output before the step has a part that is not a product.
    carried : tuple of Buffer
        The gradient of the state: of the output its product and its direct part, then other parts.
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
    gates : int
        The number of gates G.
    states : tuple of str
        The buffers of the state, that of the hidden state h first.
    carried : tuple of str
        The buffers of the state's gradient: the product, the direct part, then other parts.
    record : str
        The buffer of the gradient that is multiplied by W_hh.
    initial : tuple of str
        The buffers of the state that a reset restores; empty where there are no resets.
    drops : bool
        Whether what W_hh reads is multiplied by the buffer `factors`.
    returned : tuple of str
        The buffers of the gradient that resets hand to it.
    """

    kind: Kind
    program: Program
    gates: int
    states: tuple[str, ...]
    carried: tuple[str, ...]
    record: str
    initial: tuple[str, ...] = ()
    drops: bool = False
    returned: tuple[str, ...] = ()

    @property
    def hidden(self) -> str:
        """The buffer of the hidden state h."""
        return self.states[0]

    @property
    def given(self) -> tuple[str, ...]:
        """What a loop reads itself, beside the buffers of the program."""
        resets = (RESET.name, *self.initial[:1]) if self.initial else ()
        return (*resets, FACTORS.name) if self.drops else resets


@once
def forward(cell: Cell, form: Form = PLAIN) -> Forward:
    """Trace the step forward."""
    form = form._replace(states=False)  # they make no difference here
    graph = Graph()
    begun = _before(cell, graph, states(cell), form)
    before, new, kept = _forward(cell, graph, products(cell), begun)
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
        for buffer, part in zip(states(cell), held, strict=True)
    ]
    places = [
        Buffer(f"residual_{k}", STEP, logical=graph.is_truth_value(part))
        for k, part in enumerate(kept)
    ]
    kept_too = [
        Store(place.at(), graph.lift(part).place) for place, part in zip(places, kept, strict=True)
    ]
    return Forward(
        record=_program(cell, "record", graph, stores + kept_too, form),
        advance=_program(cell, "advance", graph, stores, form),
        recompute=_program(cell, "recompute", graph, kept_too, form),
        residuals=tuple(places),
        states=tuple(states(cell)),
        products=products(cell),
        extras=tuple(extras(cell)),
    )


@once
def single(cell: Cell) -> Program:
    """Trace the step forward of a stream, whose buffers are those of one step."""
    graph = Graph()
    u, v = (buffer._replace(axes="bj") for buffer in products(cell))
    before = [buffer._replace(axes="bj") for buffer in states(cell)]
    _, new, _ = _forward(cell, graph, (u, v), _before(cell, graph, before, PLAIN))
    stores = [
        Store(place.at(), graph.number(part).place)
        for place, part in zip(followers(cell), new, strict=True)
    ]
    return _program(cell, "single", graph, stores, PLAIN)


def _zones(cell: Cell, graph: Graph, form: Form) -> list[Symbol | None]:
    """Return where the parts of the state are left what they were; None for nowhere."""
    if not form.zoned:
        return [None] * len(cell.state._fields)
    pairs = zip(zones(cell), form.zoned, strict=True)
    return [_load(graph, part.at()) if wanted else None for part, wanted in pairs]


def _before(cell: Cell, graph: Graph, places: list[Buffer], form: Form) -> Any:
    """Return the state that a step starts from."""
    state = cell.state(*(_load(graph, part.at()) for part in places))
    if not form.resets:
        return state
    again = _load(graph, RESET.at())
    first = [_load(graph, part.at()) for part in initial(cell)]
    return cell.state(*(_where(graph, again, a, b) for a, b in zip(first, state, strict=True)))


def _forward(
    cell: Cell, graph: Graph, blocks: tuple[Buffer, Buffer], state: Any
) -> tuple[Any, Any, Any]:
    """Trace a cell's `forward`; return the state before and after it, and the residuals."""
    u, v = (
        cell.gates(
            *(_load(graph, block.at(k)) + _load(graph, bias.at(k)) for k in range(block.blocks))
        )
        for block, bias in zip(blocks, biases(cell), strict=True)
    )
    new, kept = cell.forward(u, v, state, xp=Tracing(graph), **_own(cell, graph))
    for part in kept:
        if not isinstance(part, Symbol):  # the eager engine refuses it
            message = f"a residual is a {type(part).__name__}, not an array"
            raise Untraceable(message)
    return state, new, kept


@once
def backward(cell: Cell, form: Form = PLAIN) -> Backward:
    """Trace the step back."""
    needed = form.masked or any(form.zoned[:1])
    found = _backward(cell, form, direct=needed)
    if needed:
        return found
    return _backward(cell, form, direct=True) if found.direct else found


def _backward(cell: Cell, form: Form, *, direct: bool) -> Backward:
    """Trace the step back, with or without a direct part of the output's gradient.

    If `direct` is False, that of the result tells whether the cell needs one.
    """
    graph = Graph()
    before = _before(cell, graph, states(cell), form)
    after = cell.state(*(_load(graph, part.at(later=True)) for part in states(cell)))
    kept = tuple(_load(graph, part.at()) for part in residuals(cell, form))
    if form.zoned:
        count = len(form.zoned)
        kept, after = kept[:-count], cell.state(*kept[-count:])
    keep = _load(graph, MASK.at()) if form.masked else None

    def chosen(value: Any, otherwise: Any = 0) -> Symbol:
        return graph.number(value) if keep is None else _where(graph, keep, value, otherwise)

    carried = [_load(graph, part.at()) for part in gradients(cell)]
    dh, dy = _load(graph, PRODUCT.at()), _load(graph, DOUTPUT.at())
    whole = cell.state(dh + carried[0] if direct else dh, *carried[1:])
    if form.states:
        given = [_load(graph, part.at()) for part in every(cell)]
        whole = cell.state(*(part + more for part, more in zip(whole, given, strict=True)))
    dnew = whole._replace(
        **{cell.state._fields[0]: whole[0] + dy}
    )  # dy of a masked step may be NaN
    through, passing = _parted(graph, _zones(cell, graph, form), dnew)
    du, dv, dbefore, *dextra = cell.backward(
        kept, before, after, through, xp=Tracing(graph), **_own(cell, graph)
    )
    names = ("du",) if du is dv else ("du", "dv")
    blocks = [Buffer(name, STEP, len(gates)) for name, gates in zip(names, (du, dv), strict=False)]
    writes = [
        (block.at(k), chosen(gate))
        for block, gates in zip(blocks, (du, dv), strict=False)
        for k, gate in enumerate(gates)
    ]
    own = extras(cell, gradient=True)
    writes += [
        (part.at(), chosen(value))
        for named in dextra
        for part, value in zip(own, named, strict=True)
    ]
    past = [_total(part, more) for part, more in zip(dbefore, passing, strict=True)]
    passed = zip(gradients(cell), past, whole, strict=True)
    writes += [
        (part.at(), chosen(value, unchanged))
        for part, value, unchanged in list(passed)[0 if direct else 1 :]
    ]
    stores = [Store(access, value.place) for access, value in writes]
    arriving = (whole[0] + chosen(dy), *dnew[1:])
    watched = [
        Store(part.at(), value.place) for part, value in zip(arrivals(cell), arriving, strict=True)
    ]
    return Backward(
        back=_program(cell, "back", graph, stores, form),
        watch=_program(cell, "watch", graph, stores + watched, form),
        records=(*blocks, *own),
        direct=direct or dbefore[0] is not None,
        carried=(PRODUCT, *gradients(cell)),
        arrivals=tuple(arrivals(cell)),
        returned=tuple(initial(cell, gradient=True)) if form.resets else (),
        every=tuple(every(cell)),
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
    back = backward(cell, form)
    if kind == "single":
        program = single(cell)
    else:
        program = getattr(back if kind in {"back", "watch"} else forward(cell, form), kind)
    records = [buffer.name for buffer in back.records]
    return Task(
        kind,
        program,
        gates=len(cell.gates._fields),
        states=tuple(buffer.name for buffer in states(cell)),
        carried=tuple(buffer.name for buffer in back.carried),
        record="dv" if "dv" in records else "du",
        initial=tuple(buffer.name for buffer in initial(cell)) if form.resets else (),
        drops=form.drops,
        returned=tuple(buffer.name for buffer in back.returned),
    )


def states(cell: Cell) -> list[Buffer]:
    """Return the buffers of the states."""
    return [Buffer(f"state_{name}", STEP) for name in cell.state._fields]


def initial(cell: Cell, *, gradient: bool = False) -> list[Buffer]:
    """Return the buffers of the state that a reset restores, or of its gradient."""
    letter = "d" if gradient else ""
    return [Buffer(f"{letter}initial_{name}", "bj") for name in cell.state._fields]


def followers(cell: Cell) -> list[Buffer]:
    """Return the buffers of the state after a step of a stream."""
    return [Buffer(f"new_{name}", "bj") for name in cell.state._fields]


def arguments(cell: Cell) -> tuple[str, ...]:
    """Return the arguments of the step of a stream: input, parameters, state before and after."""
    buffers = (*biases(cell), *extras(cell), *states(cell), *followers(cell))
    return ("x", "weight_ih", "weight_hh", *(buffer.name for buffer in buffers))


def residuals(cell: Cell, form: Form = PLAIN) -> tuple[Buffer, ...]:
    """Return the buffers of the residuals."""
    return forward(cell, Form(zoned=form.zoned)).residuals


def zones(cell: Cell) -> list[Buffer]:
    """Return the buffers of where the parts of the state are left what they were."""
    return [Buffer(f"zone_{name}", STEP, logical=True) for name in cell.state._fields]


def products(cell: Cell) -> tuple[Buffer, Buffer]:
    """Return the buffers of the two products of all gates, that of the input and the state's."""
    count = len(cell.gates._fields)
    return Buffer("u", STEP, count, spent=True), Buffer("v", "bj", count, spent=True)


def biases(cell: Cell) -> tuple[Buffer, Buffer]:
    """Return the buffers of the biases of the two products."""
    count = len(cell.gates._fields)
    return Buffer("bias_ih", "j", count), Buffer("bias_hh", "j", count)


def gradients(cell: Cell) -> list[Buffer]:
    """Return the buffers of the state's gradient without the product with W_hh."""
    return [Buffer(f"dstate_{name}", "bj") for name in cell.state._fields]


def every(cell: Cell) -> list[Buffer]:
    """Return the buffers of the gradient of the state after each step, given from outside."""
    return [Buffer(f"dstates_{name}", STEP) for name in cell.state._fields]


def arrivals(cell: Cell) -> list[Buffer]:
    """Return the buffers of the gradient that arrives at the state after each step."""
    return [Buffer(f"dnew_{name}", STEP) for name in cell.state._fields]


def extras(cell: Cell, *, gradient: bool = False) -> list[Buffer]:
    """Return the buffers of the cell's own parameters, or of their gradients for each sequence."""
    if cell.extra is None:
        return []
    shapes = cell.extra(SIZE)  # noqa: S610 - not a query
    for field, shape in zip(shapes._fields, shapes, strict=True):
        if tuple(shape) != (SIZE,):
            message = f"its own parameter `{field}` is not of shape (H,)"
            raise Untraceable(message)
    if gradient:
        return [Buffer(f"dextra_{field}", STEP) for field in shapes._fields]
    return [Buffer(f"extra_{field}", "j") for field in shapes._fields]


def _own(cell: Cell, graph: Graph) -> dict[str, Any]:
    """Return the cell's own parameters as symbols, by keyword."""
    if cell.extra is None:
        return {}
    named = type(cell.extra(SIZE))  # noqa: S610 - not a query
    return {"extra": named(*(_load(graph, part.at()) for part in extras(cell)))}


def _load(graph: Graph, access: Access) -> Symbol:
    return graph.add("flag" if access.buffer.logical else "load", access)


def _where(graph: Graph, keep: Symbol, value: Any, otherwise: Any) -> Symbol:
    return Tracing(graph).where(keep, value, otherwise)


def _program(cell: Cell, kind: Kind, graph: Graph, stores: Iterable[Store], form: Form) -> Program:
    letters = "".join(c if c.isascii() and c.isalnum() else "_" for c in cell.name)
    if letters[:1].isdigit():  # not a valid name
        letters = f"_{letters}"
    return Program(f"{letters}_{form.label}{kind}", tuple(graph.nodes), tuple(stores))
