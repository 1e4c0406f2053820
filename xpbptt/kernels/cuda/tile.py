"""The product of a block of threads: a part of the weights, which stays in registers.

What registers do not hold stays in shared memory, where each thread reads what is its own. The R·K
weights are dealt out to `THREADS` threads. `lanes` neighbouring threads share a row: each
holds every `lanes`-th group of as many columns as one load of 16 bytes brings. With `tall` rows and
`wide` groups a thread, a step multiplies them by the rows of up to `batch` sequences in shared
memory; the lanes add up their parts by shuffles, in an order that is always the same.
"""

from collections.abc import Iterator
from typing import NamedTuple

from xpbptt.kernels.cuda import fresh
from xpbptt.kernels.cuda.source import number

THREADS = 256
LANES = (1, 2, 4, 8, 16, 32)
BATCHES = (1, 2, 4)  # sequences of a block that are multiplied at once
LOAD = 16  # bytes of a group of columns
SHARE = 0.7  # of the peak that the products reach
PASSING = 0.85  # of the registers, where weights come from shared memory besides
FETCH, EXCHANGE = 8, 4  # instructions that a load from shared memory and a shuffle stand for


class Tile(NamedTuple):
    """How the weights are dealt out; all that the source of a product depends on.

    Attributes
    ----------
    lanes, tall, wide : int
        The threads of a row; the rows and the groups of columns of a thread.
    batch : int
        The sequences that are multiplied at once.
    group : int
        The columns of a group.
    spare : int
        Those of the rows that are in shared memory, the last ones.
    """

    lanes: int
    tall: int
    wide: int
    batch: int
    group: int
    spare: int = 0

    @property
    def rows_at_once(self) -> int:
        """The rows that lie beside each other, one a group of lanes."""
        return THREADS // self.lanes

    @property
    def weights(self) -> int:
        """The weights of a thread."""
        return self.tall * self.wide * self.group

    @property
    def kept(self) -> int:
        """The rows of a thread whose weights are in registers."""
        return self.tall - self.spare

    @property
    def groups_in_memory(self) -> int:
        """The groups of weights of all threads that are in shared memory."""
        return self.spare * self.wide * THREADS

    @property
    def depth(self) -> int:
        """The columns, filled up with zeros."""
        return self.wide * self.group * self.lanes

    @property
    def sums(self) -> int:
        """The sums of a thread, filled up so that the lanes can share them."""
        return -(-self.tall * self.batch // self.lanes) * self.lanes

    @property
    def registers(self) -> int:
        """The numbers that a thread holds."""
        return self.kept * self.wide * self.group + self.sums

    def shared(self, rows: int) -> int:
        """Return the bytes of shared memory of a block with so many rows."""
        numbers = self.batch * (self.depth + rows)
        return LOAD * self.groups_in_memory + LOAD // self.group * numbers

    def clocks(self, rate: float) -> float:
        """Return about how long a product takes where so many multiplications are one clock's."""
        fetched = FETCH * (1 + self.spare) * self.wide * self.batch
        exchanged = EXCHANGE * (self.sums - self.sums // self.lanes)
        issued = self.weights * self.batch + fetched + exchanged  # by a thread
        return issued * THREADS / (rate * SHARE)

    def types(self, dtype: str) -> tuple[str, str]:
        """Return the types of a column of `in` and of what a load of 16 bytes brings."""
        return number(dtype), "double2" if dtype == "float64" else "float4"

    def functions(self, dtype: str) -> str:
        """Return the functions that the kernel calls."""
        if dtype == "float64":
            return fresh.DOUBLE
        return fresh.FLOAT + (fresh.HALF if dtype == "float16" else "")

    def load(self, gates: int, *, back: bool, dtype: str) -> str:
        """Return the lines that load the weights of a block once, zeros where there are none.

        Forward, rows are the gates of its units and columns are all units; back, it is the other
        way round.
        """
        kind = number(dtype)
        down = f"""
  #pragma unroll
  for (int a = 0; a < {self.tall}; ++a) {{
    const int r = a * {self.rows_at_once} + line;"""
        across = f"""
  #pragma unroll
  for (int i = 0; i < {self.wide}; ++i)
  #pragma unroll
  for (int q = 0; q < {self.group}; ++q) {{
    const int k = (i * {self.lanes} + lane) * {self.group} + q;"""
        outer, inner, gate, unit = (across, down, "k", "r") if back else (down, across, "r", "k")
        return f"""
  const int lane = threadIdx.x % {self.lanes}, line = threadIdx.x / {self.lanes};
  {kind} weights[{max(1, self.kept)}][{self.wide}][{self.group}];
  {outer}
    const int own = first_unit + {gate} % units;
    const bool there = {gate} < {gates} * units && own < H;
    const auto* const row = weight + ((long long)({gate} / units) * H + own) * H;
    {inner}
      const {kind} value = there && {unit} < H ? ({kind})row[{unit}] : 0;
      if (a < {self.kept}) weights[a][i][q] = value;
      else (({kind}*)(memory + {self._spare}))[q] = value;
    }}
  }}"""

    def multiply(self, rows: str, *, dtype: str) -> str:
        """Return the lines that multiply the sequences of `in`; `sum` reads what comes out.

        `rows` is the expression of how many rows the matrix has.
        """
        kind, vector = self.types(dtype)
        letters = "xyzw"[: self.group]
        kept, spare = (
            " ".join(
                f"sums[a * {self.batch} + b] += {weight.format(q, letter)} * group.{letter};"
                for q, letter in enumerate(letters)
            )
            for weight in ("weights[a][i][{0}]", "own.{1}")
        )
        return f"""
      {{
        {kind} sums[{self.sums}];
        #pragma unroll
        for (int s = 0; s < {self.sums}; ++s) sums[s] = 0;
        #pragma unroll
        for (int i = 0; i < {self.wide}; ++i)
        #pragma unroll
        for (int b = 0; b < {self.batch}; ++b) {{
          const {vector} group =
              *(const {vector}*)(in + b * {self.depth} + (i * {self.lanes} + lane) * {self.group});
          #pragma unroll
          for (int a = 0; a < {self.tall}; ++a) {{
            if (a < {self.kept}) {{
              {kept}
            }} else {{
              const {vector} own = memory[{self._spare}];
              {spare}
            }}
          }}
        }}{_exchange(self, kind)}
        #pragma unroll
        for (int s = 0; s < {self.sums // self.lanes}; ++s) {{
          const int sum = first_sum + s;
          const int r = sum / {self.batch} * {self.rows_at_once} + line, b = sum % {self.batch};
          if (sum < {self.tall * self.batch} && r < {rows}) out[r * {self.batch} + b] = sums[s];
        }}
      }}"""

    def sum(self, row: str, sequence: str) -> str:
        """Return the expression of a sum."""
        return f"out[{row} * {self.batch} + {sequence}]"

    @property
    def _spare(self) -> str:
        """The place of a group of a thread's weights in shared memory."""
        return f"((a - {self.kept}) * {self.wide} + i) * {THREADS} + threadIdx.x"


def tiles(rows: int, columns: int, batch: int, group: int, registers: int) -> Iterator[Tile]:
    """Yield the ways to deal out a matrix, to threads that hold so many numbers in registers."""
    for lanes in LANES:
        tall, wide = -(-rows * lanes // THREADS), -(-columns // (group * lanes))
        whole = Tile(lanes, tall, wide, batch, group)
        spare = spared(whole.registers, wide * group, registers)
        if spare <= tall:
            yield whole._replace(spare=spare)


def spared(wanted: int, of_row: int, registers: int) -> int:
    """Return how many rows of a thread have to stay in shared memory.

    Parameters
    ----------
    wanted, of_row : int
        The registers that all rows take, and that one does.
    registers : int
        How many there are. What comes from shared memory passes through registers, too.
    """
    most = registers if wanted <= registers else int(registers * PASSING)
    return max(0, -(-(wanted - most) // of_row))


def _exchange(tile: Tile, kind: str) -> str:
    """Return the lines that add up the lanes' sums: each lane keeps its share of them."""
    text, left, apart, offsets = [], tile.sums, tile.lanes // 2, []
    while apart:
        left //= 2
        text.append(f"""
        #pragma unroll
        for (int s = 0; s < {left}; ++s) {{
          const bool upper = lane & {apart};
          const {kind} give = upper ? sums[s] : sums[s + {left}];
          const {kind} keep = upper ? sums[s + {left}] : sums[s];
          sums[s] = keep + __shfl_xor_sync(0xffffffffu, give, {apart});
        }}""")
        offsets.append(f"(lane & {apart} ? {left} : 0)")
        apart //= 2
    text.append(f"\n        const int first_sum = {' + '.join(offsets) or '0'};")
    return "".join(text)
