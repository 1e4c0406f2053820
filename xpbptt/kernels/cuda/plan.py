"""The planner of the group kernel: how many blocks share the weights, and who gets which sequences.

What a device can hold is asked of the device, never of a table: MIG and MPS leave a process a part
of it. How long a step takes is a model from counts, measured on no GPU: it ranks the plans, and
leaves to cuBLAS what cuBLAS should do faster.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from xpbptt.kernels.cuda import fragments, tile
from xpbptt.kernels.cuda.fragments import Fragments
from xpbptt.kernels.cuda.tile import THREADS, Tile

Dealt = Tile | Fragments

BYTES = {"float16": 4, "float32": 4, "float64": 8}  # of a number as it is computed with
REGISTERS = 204  # of 255, for the weights and the sums of a thread
CAPABILITY = 7, 0  # from where on there are loads that acquire

# Of the model: microseconds to meet once a step, for a step besides, and for a pass over the memory
# next to it (RRZE gpu-small-kernels and gpu-latency: 1.1 to 1.34, 0.14 on A100 and H200); what two
# calls from Python take, what a call of cuBLAS does besides, and the share of the peak it reaches.
MEETING, STEP, TRIP = 1.2, 0.15, 0.15
CALLS, CALLED, BLAS = 10.0, 4.0, 0.8
# Multiplications and additions of a multiprocessor a clock, by capability, else the last: float32
# and float64 (CUDA C++ Programming Guide, arithmetic instructions), and float16 by `mma.sync` (A100
# data sheet; a guess that later ones do no less).
RATES = {(8, 0): (64, 32, 1024), (9, 0): (128, 64, 1024), (10, 0): (128, 64, 1024)}
OTHER_RATES = 128, 2, 256


class Device(NamedTuple):
    """What a process may use of a device.

    Attributes
    ----------
    processors : int
        The multiprocessors.
    shared : int
        The largest shared memory of a block, in bytes.
    capability : tuple of int
        The compute capability.
    clock : float
        In GHz.
    cooperative : bool
        Whether blocks can be launched so that all are there at once.
    """

    processors: int
    shared: int
    capability: tuple[int, int]
    clock: float
    cooperative: bool

    def share(self, directions: int) -> "Device":
        """Return what one of so many directions has where all are there at once."""
        return self._replace(processors=self.processors // directions)

    def by_tensor_cores(self, dtype: str) -> bool:
        """Tell whether the tensor cores multiply a dtype."""
        return dtype == "float16" and self.capability >= fragments.CAPABILITY

    @property
    def clocks(self) -> float:
        """The clocks of a microsecond."""
        return self.clock * 1000

    def rate(self, dtype: str) -> float:
        """Return the products and additions of one multiprocessor in a clock."""
        single, double, half = RATES.get(self.capability, OTHER_RATES)
        if self.by_tensor_cores(dtype):
            return half
        return double if dtype == "float64" else single


class Sizes(NamedTuple):
    """What is planned for: gates with a product, H, B, the dtype, and whether it goes back."""

    gates: int
    hidden: int
    batch: int
    dtype: str
    back: bool


class Plan(NamedTuple):
    """A grid of `blocks` by `groups`, and what a block holds.

    Attributes
    ----------
    blocks : int
        The blocks P of a group, each with the weights of so many units.
    groups : int
        The groups.
    rows : int
        The sequences of a group.
    tile : Tile or Fragments
        The weights of a block.
    shared : int
        The bytes of shared memory of a block.
    microseconds : float
        What a step takes, by the model.
    """

    blocks: int
    groups: int
    rows: int
    tile: Dealt
    shared: int
    microseconds: float

    def parts(self, hidden: int) -> int:
        """Return the elements of the parts of dh of two steps, that a pass back takes."""
        return 2 * self.groups * self.blocks * self.rows * hidden


def plans(device: Device, sizes: Sizes) -> list[Plan]:
    """Return the plans that fit a device, the fastest first by the model."""
    return sorted(_plans(device, sizes), key=lambda plan: (plan.microseconds, plan.blocks))


def distinct(found: list[Plan]) -> list[Plan]:
    """Return of the plans with the same kernel the first."""
    first: dict[Dealt, Plan] = {}
    for plan in found:
        first.setdefault(plan.tile, plan)
    return list(first.values())


def refusal(device: Device, sizes: Sizes, directions: int = 1) -> str:
    """Return why a device cannot run so many directions in one launch; empty where it can."""
    if device.capability < CAPABILITY:
        return "a whole sequence in one launch takes a GPU of compute capability 7.0 or above"
    part = device.share(directions)
    found = plans(part, sizes)
    if not found:
        return (
            f"H = {sizes.hidden} with {sizes.gates} gates is too large: the weights do not fit the "
            f"registers and shared memory of {part.processors} multiprocessors"
        )
    if directions > 1:
        apart = directions * plans(device, sizes)[0].microseconds
        other = "one direction after the other"
    else:
        apart, other = stepwise(device, sizes), "a launch and cuBLAS"
    if found[0].microseconds > apart:
        return (
            f"with B = {sizes.batch} and H = {sizes.hidden} a step is modelled to take "
            f"{found[0].microseconds:.0f} us in one launch, longer than {other}"
        )
    return ""


def stepwise(device: Device, sizes: Sizes) -> float:
    """Return the microseconds of a step with cuBLAS and a launch, by the model."""
    work = sizes.batch * sizes.gates * sizes.hidden**2
    peak = device.processors * device.rate(sizes.dtype) * device.clocks
    return max(CALLS, CALLED + work / (peak * BLAS))


def _plans(device: Device, sizes: Sizes) -> Iterator[Plan]:
    gates, hidden, batch, dtype, back = sizes
    batches, deal = _ways(device, dtype)
    for blocks in range(1, device.processors + 1 if device.cooperative else 2):
        units = -(-hidden // blocks)
        if -(-hidden // units) != blocks:  # blocks would be left without a unit
            continue
        groups = min(batch, device.processors // blocks)
        rows = -(-batch // groups)
        groups = -(-batch // rows)
        down, across = (hidden, gates * units) if back else (gates * units, hidden)
        for some in batches:
            if some > THREADS // units or some >= 2 * rows:
                break
            for dealt in deal(down, across, some):
                shared = dealt.shared(down)
                if shared > device.shared:
                    continue
                work = dealt.clocks(device.rate(dtype)) / device.clocks
                if back:
                    work += TRIP * -(-blocks // 8)
                passes = -(-rows // some)
                time = (MEETING if blocks > 1 else TRIP) + passes * (STEP + work)
                yield Plan(blocks, groups, rows, dealt, shared, time)


def _ways(device: Device, dtype: str) -> tuple[tuple[int, ...], Callable[..., Iterator[Dealt]]]:
    """Return how many sequences may be multiplied at once, and what deals out the weights."""
    if device.by_tensor_cores(dtype):
        return fragments.BATCHES, partial(fragments.fragments, registers=REGISTERS)
    size = BYTES[dtype]
    group, registers = tile.LOAD // size, REGISTERS * 4 // size
    return tile.BATCHES, partial(tile.tiles, group=group, registers=registers)
