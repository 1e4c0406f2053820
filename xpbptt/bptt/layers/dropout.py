"""Dropout between layers, the same on every library and never from hidden state.

Which numbers are dropped follows from a key alone: every element's place is hashed with it, on the
device, so nothing is drawn on the host, copied or kept for the backward pass.
"""

import math
from typing import Any, NamedTuple

import array_api_compat

from xpbptt._arrays.types import AnyArray, Namespace, Tree
from xpbptt.bptt.layers.layer import Gradients, Layer, Run, Watch
from xpbptt.bptt.layers.memory import Needs, Sizes
from xpbptt.bptt.strategies import Plan

# The hash "lowbias32" of C. Wellons, "Prospecting for hash functions", 2018, in signed arithmetic.
FIRST, SECOND = 0x7FEB352D, 0x846CA68B - 2**32

HASHING = 16  # bytes for each element while its place is hashed
CHOOSING = 9  # bytes for each element, of hash and mask, beside three arrays of the input's dtype


class DropoutCache(NamedTuple):
    """What the layer kept, and the key."""

    layer: Any
    key: int


def dropout(layer: Layer, rate: float, number: int, beside: int = 0) -> Layer:
    """Drop elements of the input of `layer` with probability `rate`, in `forward` only.

    What stays is divided by 1 - rate, so that the expected input is the same [1]_.

    Parameters
    ----------
    layer : Layer
        The layer.
    rate : float
        The probability, from 0 to below 1.
    number : int
        What tells apart several such layers under one key.
    beside : int
        The last columns of the input, of which nothing is dropped.

    References
    ----------
    .. [1] N. Srivastava et al., "Dropout: a simple way to prevent neural networks from
       overfitting", JMLR 15, 2014.
    """

    def some(x: AnyArray, key: int, *, xp: Namespace) -> AnyArray:
        if not beside:
            return dropped(x, rate, key, xp=xp)
        inputs = dropped(x[..., :-beside], rate, key, xp=xp)
        return xp.concat((inputs, x[..., -beside:]), axis=-1)

    def forward(
        params: Tree, x: AnyArray, state: Tree, run: Run, *, xp: Namespace
    ) -> tuple[AnyArray, Tree, Any]:
        key = run.key + number
        y, state, cache = layer.forward(params, some(x, key, xp=xp), state, run, xp=xp)
        return y, state, DropoutCache(cache, key)

    def backward(
        cache: DropoutCache, dy: AnyArray, dstate: Tree, watch: Watch, *, xp: Namespace
    ) -> tuple[Gradients, Any]:
        grads, trace = layer.backward(cache.layer, dy, dstate, watch, xp=xp)
        return grads._replace(x=some(grads.x, cache.key, xp=xp)), trace

    def memory(sizes: Sizes, plan: Plan) -> Needs:
        one, x = layer.memory(sizes, plan), sizes.steps(sizes.inputs)
        dropping = x * max(HASHING, CHOOSING + 3 * sizes.itemsize) // sizes.itemsize
        held = x if one.keeps_x else 0  # what is dropped from is not kept
        return one._replace(
            kept=held + one.kept,
            keeps_x=False,
            forward=max(dropping, held + one.forward),
            backward=max(dropping, one.backward),
        )

    return layer._replace(forward=forward, backward=backward, memory=memory)


def dropped(x: AnyArray, rate: float, key: int, *, xp: Namespace) -> AnyArray:
    """Return `x` with some elements dropped, and the others divided by 1 - rate."""
    keep = kept(tuple(x.shape), rate, key, like=x, xp=xp)
    return xp.where(keep, x / (1 - rate), xp.zeros_like(x))


def kept(
    shape: tuple[int, ...], rate: float, key: int, *, first: int = 0, like: AnyArray, xp: Namespace
) -> AnyArray:
    """Return which elements are kept; `first` is the place of the first one in a larger array."""
    device, count = array_api_compat.device(like), math.prod(shape)
    places = xp.arange(first, first + count, dtype=xp.int32, device=device)
    bits = mixed(mixed(places) ^ (key & 0x7FFFFFFF))
    return xp.reshape((bits & 0x7FFFFFFF) >= min(round(rate * 2**31), 2**31 - 1), shape)


def mixed(bits: AnyArray) -> AnyArray:
    """Hash 32-bit integers; products wrap around, shifts fill with zeros."""
    bits = (bits ^ ((bits >> 16) & 0xFFFF)) * FIRST
    bits = (bits ^ ((bits >> 15) & 0x1FFFF)) * SECOND
    return bits ^ ((bits >> 16) & 0xFFFF)
