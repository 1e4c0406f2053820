"""Tensors of any library: checked, and copied to the library that is asked for."""

from typing import Any

import array_api_compat

from xpbptt._arrays.host import to_numpy
from xpbptt._arrays.types import AnyArray


def check_tensor(name: str, tensor: Any) -> None:
    """Refuse what is no array of any library."""
    if not hasattr(tensor, "shape") or not hasattr(tensor, "dtype"):
        message = (
            f"`{name}` must be a tensor or an array of any library, got {type(tensor).__name__}: "
            "numpy.asarray makes an array of lists of numbers"
        )
        raise TypeError(message)


def check_rank(name: str, tensor: Any, rank: int) -> None:
    """Refuse an array with another number of axes."""
    if len(getattr(tensor, "shape", ())) != rank:
        message = f"`{name}` must have {rank} axes, got {getattr(tensor, 'shape', tensor)!r:.80}"
        raise ValueError(message)


def convert(name: str, tensor: Any, *, xp: Any, device: Any) -> AnyArray:
    """Return a copy of a tensor in `xp`, through the host if it is another library's."""
    tensor = tensor.detach() if hasattr(tensor, "detach") else tensor
    array_like = array_api_compat.is_array_api_obj(tensor)
    own = array_like and array_api_compat.array_namespace(tensor) is xp
    try:
        source = tensor if own else to_numpy(tensor)
        array = xp.asarray(source, device=device, copy=True)
    except TypeError as error:
        message = (
            f"`{name}` has dtype {tensor.dtype} and cannot be converted by way of NumPy "
            f"({error}): first move it to the host, or to a dtype that both libraries have"
        )
        raise TypeError(message) from error
    kept = str(source.dtype).removeprefix("torch.") in str(array.dtype)
    if not xp.isdtype(array.dtype, "real floating") or not kept:
        message = (
            f"`{name}` has dtype {source.dtype}, which became {array.dtype}; expected real "
            "floating-point numbers that the library has (JAX: enable jax_enable_x64 for float64)"
        )
        raise TypeError(message)
    return array
