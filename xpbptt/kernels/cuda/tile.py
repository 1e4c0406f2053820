"""The product of a block of threads: a part of the weights, which stays in registers.

What registers do not hold stays in shared memory, where each thread reads what is its own. The R·K
weights are dealt out to `THREADS` threads. `lanes` neighbouring threads share a row: each
holds every `lanes`-th group of as many columns as one load of 16 bytes brings. With `tall` rows and
`wide` groups a thread, a step multiplies them by the rows of up to `batch` sequences in shared
memory; the lanes add up their parts by shuffles, in an order that is always the same.
"""

from collections.abc import Iterator
from typing import NamedTuple

THREADS = 256
LANES = (1, 2, 4, 8, 16, 32)
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

    @property
    def issued(self) -> int:
        """About how many instructions a thread issues for a product of `batch` sequences."""
        fetched = FETCH * (1 + self.spare) * self.wide * self.batch
        return (
            self.weights * self.batch + fetched + EXCHANGE * (self.sums - self.sums // self.lanes)
        )


def tiles(rows: int, columns: int, batch: int, group: int, registers: int) -> Iterator[Tile]:
    """Yield the ways to deal out a matrix, to threads that hold so many numbers in registers."""
    for lanes in LANES:
        tall, wide = -(-rows * lanes // THREADS), -(-columns // (group * lanes))
        whole = Tile(lanes, tall, wide, batch, group)
        # What comes from shared memory passes through registers, too.
        most = registers if whole.registers <= registers else int(registers * PASSING)
        spare = max(0, -(-(whole.registers - most) // (wide * group)))
        if spare <= tall:
            yield whole._replace(spare=spare)


def load(tile: Tile, number: str, gates: int, *, back: bool) -> str:
    """Return the lines that load the weights of a block once, zeros where there are none.

    Forward, rows are the gates of its units and columns are all units; back, it is the other way
    round.

    Parameters
    ----------
    tile : Tile
        The tile.
    number : str
        The type of a number.
    gates : int
        The number of gates.
    back : bool
        The direction.
    """
    down = f"""
  #pragma unroll
  for (int a = 0; a < {tile.tall}; ++a) {{
    const int r = a * {tile.rows_at_once} + line;"""
    across = f"""
  #pragma unroll
  for (int i = 0; i < {tile.wide}; ++i)
  #pragma unroll
  for (int q = 0; q < {tile.group}; ++q) {{
    const int k = (i * {tile.lanes} + lane) * {tile.group} + q;"""
    outer, inner, gate, unit = (across, down, "k", "r") if back else (down, across, "r", "k")
    return f"""
  const int lane = threadIdx.x % {tile.lanes}, line = threadIdx.x / {tile.lanes};
  {number} weights[{max(1, tile.kept)}][{tile.wide}][{tile.group}];
  {outer}
    const int own = first_unit + {gate} % units;
    const bool there = {gate} < {gates} * units && own < H;
    const auto* const row = weight + ((long long)({gate} / units) * H + own) * H;
    {inner}
      const {number} value = there && {unit} < H ? ({number})row[{unit}] : 0;
      if (a < {tile.kept}) weights[a][i][q] = value;
      else (({number}*)(memory + {_spare(tile)}))[q] = value;
    }}
  }}"""


def multiply(tile: Tile, number: str, vector: str, rows: str) -> str:
    """Return the lines that multiply: ``out[r * batch + b]`` of row r and the sequence b of `in`.

    Parameters
    ----------
    tile : Tile
        The tile.
    number, vector : str
        The types of a number and of a group.
    rows : str
        The number of rows of the matrix, an expression.
    """
    letters = "xyzw"[: tile.group]
    kept, spare = (
        " ".join(
            f"sums[a * {tile.batch} + b] += {weight.format(q, letter)} * group.{letter};"
            for q, letter in enumerate(letters)
        )
        for weight in ("weights[a][i][{0}]", "own.{1}")
    )
    return f"""
      {{
        {number} sums[{tile.sums}];
        #pragma unroll
        for (int s = 0; s < {tile.sums}; ++s) sums[s] = 0;
        #pragma unroll
        for (int i = 0; i < {tile.wide}; ++i)
        #pragma unroll
        for (int b = 0; b < {tile.batch}; ++b) {{
          const {vector} group =
              *(const {vector}*)(in + b * {tile.depth} + (i * {tile.lanes} + lane) * {tile.group});
          #pragma unroll
          for (int a = 0; a < {tile.tall}; ++a) {{
            if (a < {tile.kept}) {{
              {kept}
            }} else {{
              const {vector} own = memory[{_spare(tile)}];
              {spare}
            }}
          }}
        }}{_exchange(tile, number)}
        #pragma unroll
        for (int s = 0; s < {tile.sums // tile.lanes}; ++s) {{
          const int sum = first_sum + s;
          const int r = sum / {tile.batch} * {tile.rows_at_once} + line, b = sum % {tile.batch};
          if (sum < {tile.tall * tile.batch} && r < {rows}) out[r * {tile.batch} + b] = sums[s];
        }}
      }}"""


def _spare(tile: Tile) -> str:
    """Return the place of a group of a thread's weights in shared memory."""
    return f"((a - {tile.kept}) * {tile.wide} + i) * {THREADS} + threadIdx.x"


def _exchange(tile: Tile, number: str) -> str:
    """Return the lines that add up the lanes' sums: each lane keeps its share of them."""
    text, left, apart, offsets = [], tile.sums, tile.lanes // 2, []
    while apart:
        left //= 2
        text.append(f"""
        #pragma unroll
        for (int s = 0; s < {left}; ++s) {{
          const bool upper = lane & {apart};
          const {number} give = upper ? sums[s] : sums[s + {left}];
          const {number} keep = upper ? sums[s + {left}] : sums[s];
          sums[s] = keep + __shfl_xor_sync(0xffffffffu, give, {apart});
        }}""")
        offsets.append(f"(lane & {apart} ? {left} : 0)")
        apart //= 2
    text.append(f"\n        const int first_sum = {' + '.join(offsets) or '0'};")
    return "".join(text)
