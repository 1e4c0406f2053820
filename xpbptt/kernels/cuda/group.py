"""The source of a kernel that runs all steps of a segment in one launch.

A *group* of P blocks holds one copy of W_hh, block p the rows of its units, and owns some
sequences. The grid is (P, groups). A step forward: each block reads the state of its sequences,
multiplies it by its weights and runs the cell's program, a thread for a unit and a sequence. A step
back: each block runs the program, multiplies its units' gradients by its weights and writes its
part of dh; the parts are added up in the order of the blocks. Once a step the blocks of a group
meet: each adds one to a counter, after all its writes, and waits until all have. Without a second
block nobody waits. Both directions of a layer are the two planes of one grid, each with arrays and
counters of its own.

T, B, H and P are arguments. All sums have a fixed order.
"""

from xpbptt.kernels.cuda.fresh import HELPERS
from xpbptt.kernels.cuda.plan import Dealt
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
from xpbptt.kernels.cuda.tile import THREADS
from xpbptt.kernels.emit import split
from xpbptt.kernels.program import Access
from xpbptt.kernels.programs import Task

NUMBERS = "int T", "int B", "int H", "int rows"
BACK = "int first", "int truncate"


def arguments(task: Task) -> tuple[str, ...]:
    """Return the names of the buffers that the kernel takes last, in this order."""
    awaited = {"v"} if task.kind in FORWARD else {"dh"}
    return tuple(each.name for part in buffers(task) for each in part if each.name not in awaited)


def source(task: Task, dtype: str, tile: Dealt, directions: int = 1) -> str:
    """Return the kernel of a program: forward of the kinds "record" and "advance", else back.

    Its parameters are numbers, what is made for the launch, and the arrays of each direction.
    """
    kind, (column, vector) = number(dtype), tile.types(dtype)
    element = own_type(dtype)
    forward = task.kind in FORWARD
    read, written = buffers(task)
    own = set(arguments(task))
    parameters = [f"const {each}" for each in (*NUMBERS, *(() if forward else BACK))]
    parameters += ["unsigned* counters", *([] if forward else [f"{kind}* parts"])]
    arrays = [(f"const {element}* __restrict__", "weight")]
    arrays += [] if forward else [(f"{element}*", "dh")]
    arrays += [
        (f"const {stored(each, dtype)}* __restrict__", each.name)
        for each in read
        if each.name in own
    ]
    arrays += [(f"{stored(each, dtype)}*", each.name) for each in written if each.name in own]
    given, chosen = pointers(arrays, directions)
    body = (_forward if forward else _backward)(task, dtype, tile)
    return f"""{header(dtype)}{PREAMBLE}{HELPERS}{tile.functions(dtype)}
extern "C" __global__ void __launch_bounds__({THREADS}, 1) {name(task)}(
    {", ".join([*parameters, *given])}) {{
  {_joined(chosen, 2)}
  extern __shared__ {vector} memory[];
  {column}* const in = ({column}*)(memory + {tile.groups_in_memory});
  {kind}* const out = ({kind}*)(in + {tile.batch * tile.depth});
  const long long batch = B, size = H;
  const int P = gridDim.x, part = blockIdx.x, group = blockIdx.y;
  const int units = (H + P - 1) / P, first_unit = part * units;
  const int unit = threadIdx.x % units, place = threadIdx.x / units;
  const int j = first_unit + unit;
  const bool inside = place < {tile.batch} && j < H;
  unsigned* const count = counters + (blockIdx.z * gridDim.y + group) * 32;
{body}
}}
"""


def _forward(task: Task, dtype: str, tile: Dealt) -> str:
    """Return the body of the loop forward."""
    kind, (column, vector) = number(dtype), tile.types(dtype)

    def element(access: Access) -> str:
        if access.buffer.name == "v":
            return tile.sum(f"({access.block} * units + unit)", "place")
        return _if_mine(access, kind)

    def store(access: Access, value: str) -> str:
        return f"{_element(access)} = {value};"

    early, late = split(task.program, language(dtype, element, store), {"v"})
    gates, state = task.recurrent, f"{task.read} + (t * B + row) * H"
    if task.restored:
        state = f"reset[t * B + row] ? {task.restored} + row * H : {state}"
    scale, whole = ("* factors[row * H + k]", "false") if task.drops else ("", "true")
    return f"""{tile.load(gates, back=False, dtype=dtype)}
  for (int e = threadIdx.x; e < {tile.batch * tile.depth}; e += {THREADS}) in[e] = 0;
  __syncthreads();
  for (long long t = 0; t < T; ++t) {{
    for (int c = 0; c < rows; c += {tile.batch}) {{
      const long long b = group * rows + c + place;
      const bool mine = inside && c + place < rows && b < B;
      {_joined(early, 6)}
      if (c == 0 && P > 1) {{
        if (threadIdx.x == 0) meet(count, (unsigned)(P * t));
        __syncthreads();
      }}
      #pragma unroll
      for (int s = 0; s < {tile.batch}; ++s) {{
        if (c + s >= rows || group * rows + c + s >= B) continue;
        const long long row = group * rows + c + s;
        const auto* const from = {state};
        {column}* const to = in + s * {tile.depth};
        if ({whole} && H % {tile.group} == 0)
          for (int k = threadIdx.x; k < H / {tile.group}; k += {THREADS})
            (({vector}*)to)[k] = fresh_group(from + {tile.group} * k);
        else
          for (int k = threadIdx.x; k < H; k += {THREADS}) to[k] = fresh(from + k){scale};
      }}
      __syncthreads();
      {tile.multiply(f"{gates} * units", dtype=dtype)}
      __syncthreads();
      if (mine) {{
        {_joined(late, 8)}
      }}
    }}
    __syncthreads();
    if (P > 1 && threadIdx.x == 0) arrive(count);
  }}"""


def _backward(task: Task, dtype: str, tile: Dealt) -> str:
    """Return the body of the loop back."""
    kind = number(dtype)
    apart = task.carried[1:]  # all but the product

    def store(access: Access, value: str) -> str:
        line = f"{_element(access)} = {value};"
        if access.buffer.name == task.record:
            line += f" in[place * {tile.depth} + {access.block} * units + unit] = {value};"
        return line

    def element(access: Access) -> str:
        return "product" if access.buffer.name == "dh" else _if_mine(access, kind)

    early, late = split(task.program, language(dtype, element, store), {"dh"})
    gates = task.recurrent
    kept = [each for each in apart if each in task.program.names]
    cut = " ".join(f"{each}[b * H + j] = 0.0f;" for each in kept)
    own = "dh[b * H + j]"
    handed = dict(zip(task.carried, task.returned, strict=False))
    restart = " ".join(
        f"{_add(handed[each], f'({kind}){each}[b * H + j]', kind)} {each}[b * H + j] = 0.0f;"
        for each in kept
        if each in handed
    )
    returned = _add(handed["dh"], "product", kind) + " product = 0;" if handed else ""
    again = "reset[(t + 1) * B + b]" if handed else "false"
    scaled = "product *= factors[b * H + j];" if task.drops else ""
    return f"""{tile.load(gates, back=True, dtype=dtype)}
  const long long all = (long long)gridDim.y * P * rows * H;  // of one step
  const long long group_parts = 2 * blockIdx.z * all + (long long)group * P * rows * H;
  for (int e = threadIdx.x; e < {tile.batch * tile.depth}; e += {THREADS}) in[e] = 0;
  __syncthreads();
  for (long long t = T - 1; t >= -1; --t) {{  // -1: what is handed to the step before the first
    const bool cut = t < T - 1 && truncate && first + t + 1 && (first + t + 1) % truncate == 0;
    const {kind}* const given = parts + ((t + 1) & 1) * all + group_parts;
    {kind}* const made = parts + (t & 1) * all + group_parts + (long long)part * rows * H;
    for (int c = 0; c < rows; c += {tile.batch}) {{
      const long long b = group * rows + c + place;
      const bool owned = inside && c + place < rows && b < B, mine = owned && t >= 0;
      const bool again = owned && t < T - 1 && {again};
      if (again) {{ {restart} }}
      if (owned && cut) {{ {cut} }}
      {_joined(early, 6)}
      if (c == 0 && P > 1 && t < T - 1) {{
        if (threadIdx.x == 0) meet(count, (unsigned)(P * (T - 1 - t)));
        __syncthreads();
      }}
      {kind} product = 0;
      if (owned && (again || !cut)) {{
        if (t == T - 1) product = ({kind}){own};
        else {{
          #pragma unroll 8
          for (int p = 0; p < P; ++p)
            product += fresh(given + ((long long)p * rows + c + place) * H + j);
          {scaled}
        }}
      }}
      if (again) {{ {returned} }}
      if (t < 0) {{
        if (owned) {own} = product;
        continue;
      }}
      if (mine) {{
        {_joined(late, 8)}
      }}
      __syncthreads();
      {tile.multiply("H", dtype=dtype)}
      __syncthreads();
      #pragma unroll
      for (int s = 0; s < {tile.batch}; ++s)
        if (c + s < rows)
          for (int k = threadIdx.x; k < H; k += {THREADS})
            made[(long long)(c + s) * H + k] = {tile.sum("k", "s")};
    }}
    __syncthreads();
    if (P > 1 && threadIdx.x == 0 && t >= 0) arrive(count);
  }}"""


def _element(access: Access) -> str:
    return f"{access.buffer.name}[{place(access)}]"


def _add(name: str, value: str, kind: str) -> str:
    return f"{name}[b * H + j] = ({kind}){name}[b * H + j] + {value};"


def _if_mine(access: Access, kind: str) -> str:
    """Return the load of an element by the threads that have a unit and a sequence."""
    return f"mine ? ({'bool' if access.buffer.logical else kind}){_element(access)} : 0"


def _joined(lines: list[str], indent: int) -> str:
    return f"\n{' ' * indent}".join(lines)
