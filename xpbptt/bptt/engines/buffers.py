"""The arrays that the programs of a cell work on, by name."""

from collections.abc import Iterable
from typing import Any

import array_api_compat

from xpbptt.bptt.engines.segment import Inputs
from xpbptt.bptt.layers.layer import Array, Namespace, Tree
from xpbptt.kernels import Buffer, Compiled

Buffers = dict[str, Any]


def named(places: Iterable[Buffer], arrays: Iterable[Array]) -> Buffers:
    """Return arrays by the names of their buffers."""
    return {place.name: array for place, array in zip(places, arrays, strict=True)}


def empty(
    places: Iterable[Buffer], inputs: Inputs, state: Tree, *, xp: Namespace, more: int = 0
) -> Buffers:
    """Make buffers for the steps of the input, and for so many more."""
    steps, batch, _ = inputs.x.shape
    sizes = {"t": steps + more, "b": batch, "j": state[0].shape[-1]}
    like, device = inputs.x, array_api_compat.device(inputs.x)
    return {
        place.name: xp.empty(
            (*(sizes[axis] for axis in place.axes[:-1]), place.blocks * sizes["j"]),
            dtype=xp.bool if place.logical else like.dtype,
            device=device,
        )
        for place in places
    }


def at(buffers: Buffers, states: Iterable[Buffer], steps: slice) -> Buffers:
    """Return the part of buffers that belongs to some steps, of states one more."""
    names = {place.name for place in states}
    return {
        name: buffer[steps.start : steps.stop + (name in names), ...]
        for name, buffer in buffers.items()
    }


def given(compiled: Compiled, inputs: Inputs) -> Buffers:
    """Return what a kernel reads beside what is made on the way: parameters and the mask."""
    params, plain = inputs.params, compiled.target.plain
    arrays = named(compiled.forward.extras, map(plain, params.extra))
    arrays["bias_ih"], arrays["bias_hh"] = plain(params.bias_ih), plain(params.bias_hh)
    if inputs.mask is not None:
        arrays["mask"] = plain(inputs.mask)
    return arrays
