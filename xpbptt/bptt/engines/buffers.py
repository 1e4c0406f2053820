"""The arrays that the programs of a cell work on, by name."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from xpbptt._arrays.types import AnyArray, Namespace, Tree
from xpbptt.bptt.engines.chunks import longest
from xpbptt.bptt.engines.segment import Inputs
from xpbptt.kernels import Buffer, Compiled

Buffers = dict[str, Any]


class Sizes(NamedTuple):
    """The number of units H, and that of the columns of the output."""

    hidden: int
    columns: int


Shapes = dict[str, tuple[tuple[int, ...], Any]]


@lru_cache(maxsize=1024)
def shapes(
    places: tuple[Buffer, ...], steps: int, batch: int, sizes: Sizes, dtype: Any, xp: Namespace
) -> Shapes:
    """Return the shapes and dtypes of buffers by their names."""
    lengths = {"t": steps, "b": batch, "1": 1, "p": sizes.columns}
    return {
        place.name: (
            tuple(
                place.blocks * sizes.hidden if axis == "j" else lengths[axis] for axis in place.axes
            ),
            xp.bool if place.logical else dtype,
        )
        for place in places
    }


def sizes(compiled: Compiled, inputs: Inputs) -> Sizes:
    """Return the sizes of a layer."""
    cell = compiled.cell
    hidden = inputs.params.weight_ih.shape[0] // len(cell.gates._fields)
    return Sizes(hidden, cell.projection or hidden)


@lru_cache(maxsize=256)
def names(places: tuple[Buffer, ...]) -> tuple[str, ...]:
    """Return the names of buffers."""
    return tuple(place.name for place in places)


def named(places: tuple[Buffer, ...], arrays: Iterable[AnyArray]) -> Buffers:
    """Return arrays by the names of their buffers."""
    return dict(zip(names(places), arrays, strict=True))


def empty(
    compiled: Compiled,
    places: tuple[Buffer, ...],
    inputs: Inputs,
    *,
    xp: Namespace,
    more: int = 0,
) -> Buffers:
    """Make buffers for the steps of the input, and for so many more."""
    x, target = inputs.x, compiled.target
    steps, batch, _ = x.shape
    wanted = shapes(places, steps + more, batch, sizes(compiled, inputs), x.dtype, xp).items()
    return {name: target.empty(shape, dtype, like=x) for name, (shape, dtype) in wanted}


def part(buffers: Buffers, steps: slice, more: int = 0) -> Buffers:
    """Return the part of buffers that belongs to some steps and to so many more."""
    rows = slice(steps.start, steps.stop + more)
    return {name: buffer[rows, ...] for name, buffer in buffers.items()}


def most_steps(at_once: int | None, inputs: Inputs) -> int:
    """Return the most steps whose gates are at most so many elements; None for no limit."""
    length, batch, _ = inputs.x.shape
    width = inputs.params.weight_ih.shape[0]
    if at_once is None or length * batch * width <= at_once:
        return max(1, int(length))
    return longest(batch, width, at_once)


def given(compiled: Compiled, inputs: Inputs) -> Buffers:
    """Return what a kernel reads beside what is made on the way: parameters, mask, resets."""
    params, plain = inputs.params, compiled.target.plain
    own = () if compiled.cell.projection else params.extra
    arrays = named(compiled.forward.extras, map(plain, own))
    arrays["bias_ih"] = plain(params.bias_ih)
    if not isinstance(params.bias_hh, tuple):
        arrays["bias_hh"] = plain(params.bias_hh)
    for k in range(compiled.cell.side):
        first = params.weight_ih.shape[1] + k
        arrays[f"side_{k}"] = plain(inputs.x[..., first : first + 1])
    if inputs.mask is not None:
        arrays["mask"] = plain(inputs.mask)
    if inputs.resets is not None:
        where, initial = inputs.resets
        arrays["reset"] = plain(where)
        parts = zip(initial._fields, initial, strict=True)
        arrays |= {f"initial_{name}": plain(part) for name, part in parts}
    return arrays


def noise(inputs: Inputs, state: Tree, *, xp: Namespace) -> Buffers:
    """Return the noise of the steps, for a state of that shape."""
    if inputs.noise is None:
        return {}
    factors, zoned = inputs.factors(state[0], xp=xp), inputs.zones(state, xp=xp)
    arrays = {} if factors is None else {"factors": factors}
    parts = zip(state._fields, zoned, strict=False)
    return arrays | {f"zone_{name}": zone for name, zone in parts if zone is not None}


def multiplied(compiled: Compiled, x: AnyArray) -> AnyArray:
    """Return the columns of the input that W_ih multiplies, without those of a side input."""
    side = compiled.cell.side
    return compiled.target.plain(x[..., :-side]) if side else x
