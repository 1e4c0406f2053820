"""Tensors of torch as arrays in the same memory, and back: on the CPU NumPy's, on CUDA CuPy's."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import torch

from xpbptt._arrays.types import AnyArray


class Memory(NamedTuple):
    """How the memory of one type of device is shared.

    Attributes
    ----------
    array : callable
        ``array(tensor) → array``, without the tensor's history.
    tensor : callable
        ``tensor(array) → tensor``. No stride may be negative.
    current : callable
        ``current(device) → context`` in which the arrays' library works where torch does: on its
        device, and there on its current stream.
    overlap : callable
        ``overlap(one, other) → bool``: whether two arrays may share memory.
    """

    array: Callable[[Any], AnyArray]
    tensor: Callable[[AnyArray], Any]
    current: Callable[[Any], AbstractContextManager[Any]]
    overlap: Callable[[AnyArray, AnyArray], bool]


@cache
def memory(device_type: str) -> Memory:
    """Return how memory is shared on ``cpu`` or ``cuda``."""
    if device_type == "cpu":
        return Memory(_to_numpy, _from_numpy, nullcontext, np.may_share_memory)
    cupy = import_module("cupy")
    return Memory(_to_cupy, torch.from_dlpack, _current_stream, cupy.may_share_memory)


def _to_numpy(tensor: Any) -> AnyArray:
    return tensor.detach().resolve_neg().numpy()


def _from_numpy(array: AnyArray) -> Any:
    return torch.from_numpy(np.asarray(array))  # a sum over all axes is a scalar


def _to_cupy(tensor: Any) -> AnyArray:
    return import_module("cupy").from_dlpack(tensor.detach().resolve_neg())


def _current_stream(device: Any) -> ExitStack:
    """Return the context of torch's current stream on a CUDA device, for CuPy."""
    cupy = import_module("cupy")
    stream = torch.cuda.current_stream(device).cuda_stream
    stack = ExitStack()
    stack.enter_context(cupy.cuda.Device(device.index))
    stack.enter_context(cupy.cuda.ExternalStream(stream, device.index))
    return stack


class Kept(NamedTuple):
    """A tensor for an array that may run backwards in memory, as torch's tensors cannot.

    Attributes
    ----------
    tensor : tensor
        The array, turned where its strides are negative.
    turns : tuple of slice or None
        What turns it back, if it was turned.
    """

    tensor: Any
    turns: tuple[slice, ...] | None = None


def keep(array: AnyArray, shared: Memory) -> Kept:
    """Return a tensor in the memory of an array."""
    if all(stride >= 0 for stride in array.strides):
        return Kept(shared.tensor(array))
    turns = tuple(slice(None, None, -1 if stride < 0 else None) for stride in array.strides)
    return Kept(shared.tensor(array[turns]), turns)


def unkept(kept: Kept, shared: Memory) -> AnyArray:
    """Return the array for which a tensor was kept."""
    array = shared.array(kept.tensor)
    return array if kept.turns is None else array[kept.turns]
