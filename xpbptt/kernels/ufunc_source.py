"""The Python source of a kernel that calls NumPy's functions, one line for each call."""

from collections.abc import Iterable
from textwrap import indent

from xpbptt.kernels.program import Buffer, Program
from xpbptt.kernels.schedule import Call, Operand, Span

SOURCE = """
def memory(batch, size{spent}):
{memory}
    return ({work})

def bind({buffers}):
    batch, size = {sizes}
    ({work}) = memory(batch, size{spent})
{views}
    def run(t):
{rows}
{calls}
    return run

def single({work}{lasting}):
    batch, size = {sizes}
{views}
{calls_of_one}
"""


def constants(calls: list[Call]) -> dict[str, str]:
    """Return the names of the constants, by how they are written."""
    texts = (repr(each) for call in calls for each in call.operands if isinstance(each, float))
    return {text: f"number_{k}" for k, text in enumerate(dict.fromkeys(texts))}


def source(program: Program, calls: list[Call], numbers: dict[str, str]) -> str:
    """Return the Python source of the functions of a kernel."""
    read, written = program.buffers()
    buffers = [*read, *written]
    sized = next(buffer for buffer in written if "bj" in buffer.axes)
    batch, size = (f"{sized.name}.shape[{sized.axes.index(axis)}]" for axis in "bj")
    spans = dict.fromkeys(
        span for call in calls for span in (*call.operands, call.target) if isinstance(span, Span)
    )
    timed = any("t" in buffer.axes for buffer in buffers)
    spent = [] if timed else [buffer for buffer in buffers if buffer.spent]
    work = [span for span in spans if span.buffer in spent or span.buffer not in buffers]
    memory = [line for span in work for line in (*_allocation(span, spent), *_views(span))]
    views = [line for span in spans if span not in work for line in _views(span)]
    steps = [line for call in calls for line in _lines(call, numbers)]
    text = "\n".join(steps)
    names = [name for span in spans if "t" in span.buffer.axes for name in _names(span)]
    rows = [f"at_{name} = {name}[t]" for name in names if f"at_{name}" in text]
    return SOURCE.format(
        spent="".join(f", {buffer.name}" for buffer in spent),
        memory=_indented(dict.fromkeys(memory), 1),
        work="".join(f"{_name(span)}, " for span in work),
        buffers=", ".join(buffer.name for buffer in buffers),
        lasting=", ".join(buffer.name for buffer in buffers if buffer not in spent),
        sizes=f"{batch}, {size} // {sized.blocks}",
        views=_indented(views, 1),
        rows=_indented(rows, 2),
        calls=_indented(steps, 2),
        calls_of_one=_indented(steps, 1),
    )


def _indented(lines: Iterable[str], depth: int) -> str:
    return indent("\n".join(lines), "    " * depth)


def _allocation(span: Span, given: list[Buffer]) -> list[str]:
    """Return the line that makes a buffer to work in, unless it is given."""
    name, _, blocks, logical, _ = span.buffer
    line = f"{name} = empty((batch, {blocks} * size), {'bool' if logical else 'dtype'})"
    return [] if span.buffer in given else [line]


def _views(span: Span) -> list[str]:
    """Return the lines that make the view of a span at all steps; of a mask also its opposite."""
    name, axes, blocks, *_ = span.buffer
    array = f"{name}[1:]" if span.later else name
    if span.blocks < blocks:
        array += f"[..., {span.first} * size:{span.first + span.blocks} * size]"
    if "j" not in axes:
        return [f"{_name(span)} = {array}[..., None]", f"not_{_name(span)} = ~{_name(span)}"]
    return [f"{_name(span)} = {array}[None]" if axes == "j" else f"{_name(span)} = {array}"]


def _names(span: Span) -> list[str]:
    """Return the name of a span, for a mask also that of its opposite."""
    return [_name(span)] if "j" in span.buffer.axes else [_name(span), f"not_{_name(span)}"]


def _name(span: Span) -> str:
    kind = "later" if span.later else "view"  # in front, where no name of a buffer ends
    return f"{kind}_{span.buffer.name}_{span.first}_{span.blocks}"


def _lines(call: Call, numbers: dict[str, str]) -> list[str]:
    """Return the lines that do what a call says."""

    def at(operand: Operand, *, opposite: bool = False) -> str:
        if not isinstance(operand, Span):
            return numbers[repr(operand)]
        name = f"{'not_' * opposite}{_name(operand)}"
        return f"at_{name}" if "t" in operand.buffer.axes else name

    operation, operands, target = call
    if operation == "copy":
        return [f"copyto({at(target)}, {at(operands[0])})"]
    if operation != "where":
        return [f"np_{operation}({', '.join(map(at, operands))}, out={at(target)})"]
    condition, first, second = operands
    if target == first:
        return [f"copyto({at(target)}, {at(second)}, where={at(condition, opposite=True)})"]
    chosen = f"copyto({at(target)}, {at(first)}, where={at(condition)})"
    return [chosen] if target == second else [f"copyto({at(target)}, {at(second)})", chosen]
