"""The product of a block of threads by tensor cores: float16, with sums in float32.

The R·K weights are cut into fragments of 16 rows by 16 columns, filled up with zeros, and dealt out
to the warps of a block: `split` warps share a row of fragments, and their parts of a sum are added
up in the order of the warps. A thread of a warp holds eight weights of a fragment in four
registers; the fragments that registers do not hold stay in shared memory. A step multiplies them by
up to eight sequences. The PTX ISA says which thread holds which element: "Matrix Fragments for
mma.m16n8k16 with floating point type".
"""

from collections.abc import Iterator
from typing import NamedTuple

from xpbptt.kernels.cuda.fresh import FLOAT, HALF_BITS
from xpbptt.kernels.cuda.tile import SHARE, THREADS, spared

CAPABILITY = 8, 0  # from where on there is this shape of the instruction
BATCHES = (1, 2, 4, 8)  # sequences of a block that are multiplied at once
LANES, SIDE = 32, 16  # the threads of a warp; the rows and the columns of a fragment
WARPS = THREADS // LANES
REGISTERS = 4  # that a fragment, and that the sums of its rows, take of a thread
PRODUCTS = SIDE * SIDE * 8  # of an instruction
SKEW = 8  # columns added to a row of `in`, so that the rows begin in different banks
ROWS_SKEW = 4  # the same of `out`
LATENCY = 33  # clocks until the sums of an instruction can be added to: a guess

MMA = """
static __device__ __forceinline__ void mma(float (&d)[4], uint4 a, unsigned b0, unsigned b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b0), "r"(b1));
}
"""


class Fragments(NamedTuple):
    """How the weights are dealt out; all that the source of a product depends on.

    Attributes
    ----------
    split : int
        The warps that share a row of fragments.
    tall, wide : int
        The rows of fragments of a warp, and the fragments of each.
    batch : int
        The sequences that are multiplied at once.
    spare : int
        Those of the rows that are in shared memory, the last ones.
    """

    split: int
    tall: int
    wide: int
    batch: int
    spare: int = 0

    @property
    def group(self) -> int:
        """The columns that one load of 16 bytes brings."""
        return 8

    @property
    def lines(self) -> int:
        """The rows of fragments that lie beside each other."""
        return WARPS // self.split

    @property
    def kept(self) -> int:
        """The rows of fragments of a warp that are in registers."""
        return self.tall - self.spare

    @property
    def groups_in_memory(self) -> int:
        """The loads of 16 bytes that bring all fragments in shared memory."""
        return self.spare * self.wide * THREADS

    @property
    def height(self) -> int:
        """The rows of `out`."""
        return self.tall * self.lines * SIDE

    @property
    def depth(self) -> int:
        """The columns of `in`."""
        return self.wide * self.split * SIDE + SKEW

    @property
    def registers(self) -> int:
        """The registers of a thread."""
        return REGISTERS * (self.kept * self.wide + self.tall)

    def shared(self, rows: int) -> int:  # noqa: ARG002 - the height is that of whole fragments
        """Return the bytes of shared memory of a block."""
        out = self.split * self.batch * (self.height + ROWS_SKEW)
        return 16 * self.groups_in_memory + 2 * self.batch * self.depth + 4 * out

    def clocks(self, rate: float) -> float:
        """Return about how long a product takes where so many multiplications are one clock's."""
        multiplied = WARPS * self.tall * self.wide * PRODUCTS / (rate * SHARE)
        # A warp reads or writes 4 bytes a thread in a clock.
        loaded = WARPS * self.wide * (2 + REGISTERS * self.spare)
        exchanged = 2 * self.split * self.batch * self.height / LANES
        return max(self.wide * LATENCY, multiplied) + loaded + exchanged

    def types(self, dtype: str) -> tuple[str, str]:
        """Return the types of a column of `in` and of what a load of 16 bytes brings."""
        return dtype, "uint4"

    def functions(self, dtype: str) -> str:  # noqa: ARG002 - there is one
        """Return the functions that the kernel calls."""
        return FLOAT + HALF_BITS + MMA

    def load(self, gates: int, *, back: bool, dtype: str) -> str:  # noqa: ARG002
        """Return the lines that load the weights of a block once, zeros where there are none.

        Forward, rows are the gates of its units and columns are all units; back, it is the other
        way round.
        """
        gate, unit = ("k", "r") if back else ("r", "k")
        axes = ("a", self.tall), ("i", self.wide)
        (outer, lines), (inner, others) = axes[::-1] if back else axes
        return f"""
  const int lane = threadIdx.x % {LANES}, warp = threadIdx.x / {LANES};
  const int share = warp % {self.split}, line = warp / {self.split};
  const auto bits = [&](int r, int k) -> unsigned {{
    const int own = first_unit + {gate} % units;
    const bool there = {gate} < {gates} * units && own < H;
    const int place = (({gate} / units) * H + own) * H + {unit};  // weights that fit are few enough
    return there && {unit} < H ? ((const unsigned short*)weight)[place] : 0;
  }};
  uint4 weights[{max(1, self.kept)}][{self.wide}];
  #pragma unroll
  for (int {outer} = 0; {outer} < {lines}; ++{outer})
  #pragma unroll
  for (int {inner} = 0; {inner} < {others}; ++{inner}) {{
    unsigned each[{REGISTERS}];
    #pragma unroll
    for (int q = 0; q < {REGISTERS}; ++q) {{
      const int r = (a * {self.lines} + line) * {SIDE} + lane / 4 + q % 2 * 8;
      const int k = (i * {self.split} + share) * {SIDE} + lane % 4 * 2 + q / 2 * 8;
      each[q] = bits(r, k) | bits(r, k + 1) << 16;
    }}
    const uint4 fragment = make_uint4(each[0], each[1], each[2], each[3]);
    if (a < {self.kept}) weights[a][i] = fragment;
    else memory[{self._spare}] = fragment;
    // Or all loads are begun at once, and what they bring does not fit the registers.
    if (({outer} * {others} + {inner}) % 2) __syncwarp();
  }}"""

    def multiply(self, rows: str, *, dtype: str) -> str:  # noqa: ARG002 - see `shared`
        """Return the lines that multiply the sequences of `in`; `sum` reads what comes out."""
        return f"""
      {{
        float sums[{self.tall}][4];
        #pragma unroll
        for (int a = 0; a < {self.tall}; ++a)
        #pragma unroll
        for (int q = 0; q < 4; ++q) sums[a][q] = 0;
        const auto* const from =
            in + lane / 4 % {self.batch} * {self.depth} + share * {SIDE} + lane % 4 * 2;
        #pragma unroll
        for (int i = 0; i < {self.wide}; ++i) {{
          const unsigned low = *(const unsigned*)(from + i * {self.split * SIDE});
          const unsigned high = *(const unsigned*)(from + i * {self.split * SIDE} + 8);
          #pragma unroll
          for (int a = 0; a < {self.tall}; ++a) {{
            if (a < {self.kept}) mma(sums[a], weights[a][i], low, high);
            else mma(sums[a], memory[{self._spare}], low, high);
          }}
        }}
        #pragma unroll
        for (int a = 0; a < {self.tall}; ++a)
        #pragma unroll
        for (int q = 0; q < 4; ++q) {{
          const int r = (a * {self.lines} + line) * {SIDE} + lane / 4 + q / 2 * 8;
          const int b = lane % 4 * 2 + q % 2;
          if (b < {self.batch}) out[(share * {self.batch} + b) * {self.height + ROWS_SKEW} + r] =
              sums[a][q];
        }}
      }}"""

    def sum(self, row: str, sequence: str) -> str:
        """Return the expression of a sum: the parts of the warps in their order."""
        parts = (
            f"out[({k * self.batch} + {sequence}) * {self.height + ROWS_SKEW} + {row}]"
            for k in range(self.split)
        )
        return f"({' + '.join(parts)})"

    @property
    def _spare(self) -> str:
        """The place of a thread's part of a fragment in shared memory."""
        return f"((a - {self.kept}) * {self.wide} + i) * {THREADS} + threadIdx.x"


def fragments(rows: int, columns: int, batch: int, registers: int) -> Iterator[Fragments]:
    """Yield the ways to deal out a matrix, to threads that keep so many registers for it."""
    down, across = -(-rows // SIDE), -(-columns // SIDE)
    split = 1
    while split <= WARPS:
        whole = Fragments(split, -(-down * split // WARPS), -(-across // split), batch)
        spare = spared(whole.registers, REGISTERS * whole.wide, registers)
        if spare <= whole.tall:
            yield whole._replace(spare=spare)
        split *= 2
