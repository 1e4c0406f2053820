"""The kernels of a graph: a step that reads on the device where it is and what it works on.

A structure on the device holds the sizes, the addresses of the buffers of a pass, and how many
steps are done. Node k of a graph runs the k-th step from there, or returns at once where there is
none. What cuBLAS multiplies lies at an address of its own, `staged`, to which the kernel of a step
copies it.
"""

from xpbptt.kernels.cuda.source import FORWARD, Entry, element, number, own_type
from xpbptt.kernels.cuda.step import source as step
from xpbptt.kernels.program import Access, Buffer
from xpbptt.kernels.programs import Task

NUMBERS = "done", "steps", "batch", "size", "first", "truncate"  # of the structure, in this order
NODE, BEGIN, ADVANCE = "node", "begin", "advance"  # how the names of the kernels end


def multiplied(task: Task) -> str:
    """Return the buffer that a step writes and the product after it reads."""
    if not task.recurrent:
        return ""
    return task.read if task.kind in FORWARD else task.record


def source(task: Task, dtype: str, name: str) -> str:
    """Return three kernels: ``NAME_node``, ``NAME_begin`` and ``NAME_advance``.

    Begin writes the structure, and advance counts steps that are done.
    """
    back, kind, copied = task.kind not in FORWARD, number(dtype), multiplied(task)

    def load(access: Access) -> str:
        value = element(access)
        handed_back = back and access.buffer.name in task.carried
        return f"(cut ? {kind}(0) : {kind}({value}))" if handed_back else value

    def store(access: Access, value: str) -> str:
        line = f"{element(access)} = {value};"
        if access.buffer.name != copied:
            return line
        copy = Buffer("staged", "bj", access.buffer.blocks).at(access.block)
        return f"{line} {element(copy)} = {value};"

    begin = [
        "const Frame frame = *given;",
        "const long long n = frame.done + k;",
        "if (n >= frame.steps) return;",
        f"const long long t = {'frame.steps - 1 - n' if back else 'n'};",
    ]
    begin += [  # nothing is handed back from the step that was gone back over before
        "const bool cut = n && frame.truncate && (frame.first + t + 1) % frame.truncate == 0;"
    ] * back
    fields = *(f"long long {each};" for each in NUMBERS), f"{own_type(dtype)}* staged;"
    entry = Entry(fields, "const Frame* given, const long long k", "\n  ".join(begin), load, store)
    return f"""{step(task.program, dtype, f"{name}_{NODE}", entry)}
extern "C" __global__ void {name}_{BEGIN}(Frame* frame, const Frame given) {{ *frame = given; }}
extern "C" __global__ void {name}_{ADVANCE}(Frame* frame, const long long steps) {{
  frame->done += steps;
}}
"""
