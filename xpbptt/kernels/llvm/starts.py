"""Where a step of a loop starts from: resets and recurrent dropout, and their way back."""

from typing import Any

from xpbptt.kernels.llvm.code import Code, Value
from xpbptt.kernels.places import RESET
from xpbptt.kernels.program import Access, Program
from xpbptt.kernels.symbols import Node

Starts = dict[str, tuple[Access, Access]]


def chosen(program: Program) -> tuple[Program, Starts]:
    """Return a program that loads the state a step starts from, not both that it may start from.

    A choice of an address costs less than one of values. The second result are what a reset
    restores and the state, by the names of the buffers that stand for them.
    """
    nodes, starts = list(program.nodes), Starts()
    for place, (operation, operands) in enumerate(program.nodes):
        if operation != "where":
            continue
        flag, first, state = (program.nodes[each] for each in operands)
        if flag.operation == "flag" and flag.operands[0].buffer == RESET:
            access = state.operands[0]
            name = f"start_{access.buffer.name}"
            starts[name] = first.operands[0], access
            nodes[place] = Node(
                "load", (Access(access.buffer._replace(name=name), 0, later=False),)
            )
    return program._replace(nodes=tuple(nodes)), starts


def marked(loop: Any, t: Value, b: Value) -> str:
    """Return whether step `t` of a sequence is reset."""
    code: Code = loop.code
    frame = loop.frame
    place = code.total(code.times(t, frame["batch"]), b)
    flag = code.load("i8", code.at("i8", frame["reset"], place), 1)
    return code.let(f"icmp ne i8 {flag}, 0")


def started(loop: Any, t: Value, before: str) -> str:
    """Return the address of the rows that the product of step `t` reads.

    They are copied where dropout or a reset makes them others than the state before the step.

    Parameters
    ----------
    loop : Forward
        The loop forward.
    t : str or int
        The step.
    before : str
        The address of the state before it.
    """
    code: Code = loop.code
    if loop.task.drops:
        _copy(loop, t, before)
        copy: str = loop.frame["started"]
        return copy
    some, rows = code.slot("i1"), code.slot("ptr")
    code.store("i1", 0, some)
    code.store("ptr", before, rows)
    with code.loop(0, loop.frame["rows"]) as b:
        so_far = code.load("i1", some)
        code.store("i1", code.let(f"or i1 {so_far}, {marked(loop, t, b)}"), some)
    with code.when(code.load("i1", some)):
        _copy(loop, t, before)
        code.store("ptr", loop.frame["started"], rows)
    return code.load("ptr", rows)


def _copy(loop: Any, t: Value, before: str) -> None:
    """Copy the rows of the state before a step, as the product reads them."""
    code: Code = loop.code
    frame, vector = loop.frame, loop.vector
    number, hidden = vector.number, frame["read"]
    with code.loop(0, frame["rows"]) as b:
        row = code.times(b, hidden)
        source = code.at(number, before, row)
        if loop.task.restored:
            first = code.at(number, frame[loop.task.restored], row)
            source = code.let(f"select i1 {marked(loop, t, b)}, ptr {first}, ptr {source}")
        target = code.at(number, frame["started"], row)
        with code.loop(0, hidden, vector.lanes) as j:
            inside = vector.first(code, code.whole("sub", hidden, j))
            value = vector.load_some(code, code.at(number, source, j), inside)
            if loop.task.drops:
                factors = code.at(number, frame["factors"], row, j)
                factor = vector.load_some(code, factors, inside)
                value = code.let(f"fmul {vector.type} {value}, {factor}")
            vector.store_some(code, value, code.at(number, target, j), inside)


def dropped(loop: Any) -> None:
    """Multiply the product's part of the gradient of the state by the factors of its sequence.

    Parameters
    ----------
    loop : Backward
        The loop back.
    """
    code: Code = loop.code
    frame, vector = loop.frame, loop.vector
    number, hidden = vector.number, frame["read"]
    with code.loop(0, frame["rows"]) as b, code.loop(0, hidden, vector.lanes) as j:
        inside = vector.first(code, code.whole("sub", hidden, j))
        factors = code.at(number, frame["factors"], code.times(b, hidden), j)
        factor = vector.load_some(code, factors, inside)
        place = code.at(number, frame["dh"], code.times(b, frame["padded"]), j)
        value = vector.load_some(code, place, inside)
        vector.store_some(code, code.let(f"fmul {vector.type} {value}, {factor}"), place, inside)


def returned(loop: Any, t: Value) -> None:
    """Hand the gradient of the state to the initial state where step `t` is reset.

    Parameters
    ----------
    loop : Backward
        The loop back.
    t : str or int
        The step.
    """
    code: Code = loop.code
    frame, vector, task = loop.frame, loop.vector, loop.task
    with (
        code.loop(0, frame["rows"]) as b,
        code.when(marked(loop, t, b)),
        code.loop(0, frame["padded"], vector.lanes) as j,
    ):
        place = code.total(code.times(b, frame["padded"]), j)
        for carried, total in zip(task.carried, task.returned, strict=True):
            part = code.at(vector.number, frame[carried], place)
            sums = code.at(vector.number, frame[total], place)
            both = vector.load(code, sums), vector.load(code, part)
            vector.store(code, code.let(f"fadd {vector.type} {both[0]}, {both[1]}"), sums)
            vector.store(code, "zeroinitializer", part)
