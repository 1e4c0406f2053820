"""The types of the notebook's functions, sigmoid and softmax, and the form of a result."""

from collections.abc import Mapping
from typing import Any

import array_api_compat

from xpbptt._arrays.types import AnyArray, Namespace

Parameters = Mapping[str, AnyArray]
Gradients = dict[str, AnyArray]
Cache = tuple[Any, ...]
Caches = tuple[list[Cache], AnyArray]


def sigmoid(z: AnyArray, *, xp: Namespace) -> AnyArray:
    """Return 1 / (1 + exp(-z)), for z < 0 as exp(z) / (1 + exp(z)): small values stay accurate."""
    is_complex = xp.isdtype(z.dtype, "complex floating")  # as for a complex step
    negative = (xp.real(z) if is_complex else z) < 0
    e_z = xp.exp(xp.where(negative, z, -z))  # does not overflow
    return xp.where(negative, e_z, xp.ones_like(e_z)) / (1 + e_z)


def softmax(z: AnyArray, *, xp: Namespace) -> AnyArray:
    """Return exp(z) / Σ exp(z) over the first axis; less the maximum, which avoids overflow."""
    e_z = xp.exp(z - xp.max(z, axis=0, keepdims=True))
    return e_z / xp.sum(e_z, axis=0, keepdims=True)


def over_time(steps: list[AnyArray], n: int, x: AnyArray, *, xp: Namespace) -> AnyArray:
    """Return arrays (n, m), one a step, as one (n, m, T)."""
    shape = (n, x.shape[1], len(steps))
    array = xp.empty(shape, dtype=x.dtype, device=array_api_compat.device(x))
    if steps and not array_api_compat.is_writeable_array(array):  # JAX
        return xp.stack(steps, axis=2)
    for t, step in enumerate(steps):  # to stack many, CuPy copies a table from the host
        array[:, :, t] = step
    return array
