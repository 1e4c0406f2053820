"""A program as straight-line source in some language, one line for each expression."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from xpbptt.kernels.program import LOADS, Access, Program
from xpbptt.kernels.symbols import LOGICAL


class Language(NamedTuple):
    """The syntax of a language.

    Attributes
    ----------
    assign : callable
        ``assign(name, value, logical) → line``, the line that gives a value a name.
    constant : callable
        The literal of a number.
    load, store : callable
        The element of a buffer; the line that writes an expression there.
    operations : mapping
        Each operation with its operands, as ``"{0} + {1}"``.
    """

    assign: Callable[[str, str, bool], str]
    constant: Callable[[float], str]
    load: Callable[[Access], str]
    store: Callable[[Access, str], str]
    operations: Mapping[str, str]


INFIX = {
    "add": "{0} + {1}",
    "subtract": "{0} - {1}",
    "multiply": "{0} * {1}",
    "divide": "{0} / {1}",
    "negative": "-{0}",
    "less": "{0} < {1}",
    "less_equal": "{0} <= {1}",
    "greater": "{0} > {1}",
    "greater_equal": "{0} >= {1}",
    "equal": "{0} == {1}",
    "not_equal": "{0} != {1}",
    "and": "{0} & {1}",
    "or": "{0} | {1}",
}


def lines(program: Program, language: Language) -> list[str]:
    """Return the source of a program: everything is read before anything is written."""
    early, late = split(program, language, ())
    return early + late


Names = dict[int, str]  # of values, by the places of their expressions


def assigned(
    program: Program, language: Language, places: Iterable[int], names: Names
) -> list[str]:
    """Return the lines of some expressions, and add the names of their values to `names`."""
    source = []
    for place in places:
        operation, operands = program.nodes[place]
        if place in names:
            continue
        if operation == "constant":
            names[place] = language.constant(operands[0])
        elif operation in {"narrow", "wide"}:  # an axis of length 1 less or more
            names[place] = names[operands[0]]
        else:
            value = (
                language.load(operands[0])
                if operation in LOADS
                else language.operations[operation].format(*(names[each] for each in operands))
            )
            names[place] = f"e{place}"
            source.append(language.assign(names[place], value, operation in LOGICAL))
    return source


def straight(program: Program) -> None:
    """Refuse a program that is not the same for each unit alone."""
    if program.sums:
        message = "it takes a sum over the hidden units, which has no kernel here"
        raise NotImplementedError(message)


def split(
    program: Program, language: Language, awaited: Collection[str]
) -> tuple[list[str], list[str]]:
    """Return the source of a program in two parts: what can be read at once, and the rest.

    Parameters
    ----------
    program : Program
        The program.
    language : Language
        The syntax.
    awaited : collection of str
        The buffers whose elements are not there at once.
    """
    straight(program)
    early: list[str] = []
    late: list[str] = []
    names: dict[int, str] = {}
    for place in program.live():
        operation, operands = program.nodes[place]
        if operation == "constant":
            names[place] = language.constant(operands[0])
            continue
        at_once = operation in LOADS and operands[0].buffer.name not in awaited
        if operation in LOADS:
            value = language.load(operands[0])
        else:
            value = language.operations[operation].format(*(names[each] for each in operands))
        names[place] = f"e{place}"
        line = language.assign(names[place], value, operation in LOGICAL)
        (early if at_once else late).append(line)
    late += [language.store(access, names[place]) for access, place in program.stores]
    return early, late
