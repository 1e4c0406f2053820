"""A step with sums over the hidden units as a kernel: a block for each sequence.

The threads of a block go over the units of a sequence once for each phase of the program, and add
up what they found in shared memory, in a fixed order.
"""

from xpbptt.kernels.cuda.source import PREAMBLE, Entry, header, language, number
from xpbptt.kernels.emit import Language, Names, assigned
from xpbptt.kernels.phases import Phase, phases, rows
from xpbptt.kernels.program import Program

THREADS = 128  # of a block, a power of two
COMBINED = {
    "sum": ("0", "a + b"),
    "max": ("-1.0 / 0.0", "(a > b || a != a) ? a : b"),
    "min": ("1.0 / 0.0", "(a < b || a != a) ? a : b"),
}
OVER_UNITS = """
template <typename T> __device__ T {name}_of(T a, T b) {{ return {combined}; }}
template <typename T> __device__ T {name}_over_block(T mine, T* shared) {{
  shared[threadIdx.x] = mine;
  __syncthreads();
  for (unsigned step = blockDim.x / 2; step; step /= 2) {{
    if (threadIdx.x < step) {{
      shared[threadIdx.x] = {name}_of(shared[threadIdx.x], shared[threadIdx.x + step]);
    }}
    __syncthreads();
  }}
  const T total = shared[0];
  __syncthreads();
  return total;
}}
"""


def source(program: Program, dtype: str, name: str, entry: Entry, frame: str) -> str:
    """Return the kernel, given the structure that it is entered with."""
    kind = number(dtype)
    cuda = language(dtype, entry.load, entry.store)
    functions = [
        OVER_UNITS.format(name=each, combined=text) for each, (_, text) in COMBINED.items()
    ]
    nodes = enumerate(program.nodes)
    names = {k: f"{kind}(size)" for k, node in nodes if node.operation == "units"}
    body = []
    for phase in phases(program, keep=False):
        body += _phase(program, phase, cuda, names, kind)
    places, stores = rows(program)
    known = dict(names)
    last = assigned(program, cuda, places, known)
    last += [cuda.store(access, known[k]) for access, k in stores]
    body += ["if (threadIdx.x == 0) {", *last, "}"] if stores else []
    text = "\n  ".join(body)
    return f"""{header(dtype)}{PREAMBLE}{"".join(functions)}
{frame}
extern "C" __global__ void __launch_bounds__({THREADS}) {name}({entry.parameters}) {{
  __shared__ {kind} shared[{THREADS}];
  {entry.begin}
  const long long batch = frame.batch, size = frame.size;
  const long long b = blockIdx.x;
  {text}
}}
"""


def _phase(program: Program, phase: Phase, cuda: Language, names: Names, kind: str) -> list[str]:
    """Return the lines of a phase; the names of its sums are added to `names`."""
    inside = dict(names)
    lines = assigned(program, cuda, phase.places, inside)
    lines += [cuda.store(access, inside[k]) for access, k in phase.stores]
    before, after = [], []
    for k in phase.sums:
        operation, (operand,) = program.nodes[k]
        neutral, _ = COMBINED[operation]
        names[k] = f"s{k}"
        before.append(f"{kind} s{k} = {neutral};")
        lines.append(f"s{k} = {operation}_of<{kind}>(s{k}, {inside[operand]});")
        after.append(f"s{k} = {operation}_over_block<{kind}>(s{k}, shared);")
    loop = f"for (long long j = threadIdx.x; j < size; j += {THREADS}) {{"
    return [*before, loop, *(f"  {line}" for line in lines), "}", *after]
