"""The source of a kernel for a cell without the product: all steps in one plain launch.

A cell whose program does not read the product of the state with W_hh has nothing to wait for: a
thread runs all steps of one unit of one sequence, with the state in registers. What it reads from
memory is fetched several steps ahead. The programs are asked, not the cell: forward, whether one
reads `v`; back, whether all that would be multiplied by W_hh is the constant 0. Both directions of
a layer are the two planes of one grid.
"""

from xpbptt.kernels.cuda.source import (
    FORWARD,
    PREAMBLE,
    buffers,
    header,
    language,
    name,
    number,
    own_type,
    place,
    pointers,
    stored,
)
from xpbptt.kernels.emit import lines
from xpbptt.kernels.program import LOADS, Access, Buffer, Program
from xpbptt.kernels.programs import Task

THREADS = 128  # of a block
AHEAD, HELD = 8, 160  # the most steps ahead; the most bytes of a thread that are on their way


def applies(task: Task) -> bool:
    """Tell whether a program of all steps needs no product with W_hh."""
    if task.kind in FORWARD or not task.recurrent:
        return "v" not in task.program.names
    nodes = task.program.nodes
    multiplied = [
        nodes[store.place]
        for store in task.program.stores
        if store.access.buffer.name == task.record
    ]
    return all(node.operation == "constant" and node.operands[0] == 0 for node in multiplied)


def arguments(task: Task) -> tuple[str, ...]:
    """Return the names of the buffers that the kernel takes last, in this order."""
    return tuple(each.name for part in buffers(task) for each in part if each.name != "dh")


def source(task: Task, dtype: str, directions: int = 1) -> str:
    """Return the kernel of a program: forward of the kinds "record" and "advance", else back."""
    kind, back = number(dtype), task.kind not in FORWARD
    read, written = buffers(task)
    held = task.carried if back else task.states  # the parts of a state, in registers
    held = tuple(each for each in held if each in task.program.names and each != "dh")
    coming = _coming(task.program, held)
    ahead = _ahead(coming, dtype)
    rings = {access: f"ring{k}[i]" for k, access in enumerate(coming)}

    def load(access: Access) -> str:
        if access.buffer.name == "dh":
            return "product"
        if access.buffer.name in held:
            return f"now_{access.buffer.name}"
        return rings.get(access) or f"{access.buffer.name}[{place(access)}]"

    def store(access: Access, value: str) -> str:
        if access.buffer.name not in held:
            return f"{access.buffer.name}[{place(access)}] = {value};"
        line = f"now_{access.buffer.name} = {value};"
        return line if back else f"{line} {access.buffer.name}[{place(access)}] = {value};"

    parameters = ["const long long T, const long long batch, const long long size"]
    parameters += ["const int first, const int truncate"] if back else []
    arrays = [(f"{own_type(dtype)}*", "dh")] if back and task.recurrent else []
    arrays += [
        (f"const {stored(each, dtype)}* __restrict__", each.name)
        for each in read
        if each.name != "dh"
    ]
    arrays += [(f"{stored(each, dtype)}*", each.name) for each in written if each.name != "dh"]
    given, chosen = pointers(arrays, directions)
    begin = [*chosen, *(f"{kind} now_{each} = {each}[n];" for each in held)]
    begin += [
        f"{stored(access.buffer, dtype)} ring{k}[{ahead}];" for k, access in enumerate(coming)
    ]
    fetch = " ".join(f"{ring} = {a.buffer.name}[{place(a)}];" for a, ring in rings.items())
    cut = " ".join(f"now_{each} = 0;" for each in held)
    cuts = "if (s && truncate && first + t + 1 && (first + t + 1) % truncate == 0)"
    handed = dict(zip(task.carried, task.returned, strict=False))
    restart = " ".join(
        f"{handed[each]}[n] = ({kind}){handed[each]}[n] + now_{each}; now_{each} = 0;"
        for each in held
        if each in handed
    )
    before = f"if (s && reset[(t + 1) * batch + b]) {{ {restart} }} " if restart else ""
    before += f"{cuts} {{ {cut} }}" if back else ""
    if back and task.recurrent:
        before += f" const {kind} product = s ? 0 : ({kind})dh[n];"
    end = [f"{each}[n] = now_{each};" for each in held] if back else []
    last = "if (truncate && first && first % truncate == 0)"
    gone = ["dh[n] = 0.0f;"] if task.recurrent else []
    gone += [f"if (reset[b]) {{ {restart} }}"] if restart else []
    end = [*gone, f"{last} {{ {cut} }}", *end] if back else end
    step = "T - 1 - s" if back else "s"
    body = "\n        ".join(lines(task.program, language(dtype, load, store)))
    begun, ended = "\n  ".join(begin), "\n  ".join(end)
    return f"""{header(dtype)}{PREAMBLE}
extern "C" __global__ void __launch_bounds__({THREADS}) {name(task)}(
    {", ".join([*parameters, *given])}) {{
  const long long n = (long long)blockIdx.x * {THREADS} + threadIdx.x;
  if (n >= batch * size) return;
  const long long b = n / size, j = n - b * size;
  {begun}
  #pragma unroll
  for (int i = 0; i < {ahead}; ++i) {{
    const long long s = i, t = {step};
    if (s < T) {{ {fetch} }}
  }}
  for (long long start = 0; start < T; start += {ahead}) {{
    #pragma unroll
    for (int i = 0; i < {ahead}; ++i) {{
      const long long s = start + i;
      if (s < T) {{
        const long long t = {step};
        {before}
        {body}
      }}
      if (s + {ahead} < T) {{
        const long long t = {step.replace("s", f"(s + {ahead})")};
        {fetch}
      }}
    }}
  }}
  {ended}
}}
"""


def _coming(program: Program, held: tuple[str, ...]) -> list[Access]:
    """Return what every step reads of its own, apart from the parts of the state."""
    loads = [program.nodes[k] for k in program.live() if program.nodes[k].operation in LOADS]
    found: list[Access] = [node.operands[0] for node in loads]
    return [a for a in found if "t" in a.buffer.axes and a.buffer.name not in held]


def _ahead(coming: list[Access], dtype: str) -> int:
    """Return for how many steps there are registers."""
    size = {"float64": 8}.get(dtype, 4)

    def bytes_of(buffer: Buffer) -> int:
        return 1 if buffer.logical else size

    return max(1, min(AHEAD, HELD // max(1, sum(bytes_of(each.buffer) for each in coming))))
