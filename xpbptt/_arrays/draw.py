"""Initial weights: drawn on the host, so that a seed means the same on every library."""

import warnings
from typing import Any

import numpy as np

from xpbptt._arrays.check import is_kind, library
from xpbptt._arrays.types import AnyArray, Namespace


def generator(seed: Any, name: str = "seed") -> np.random.Generator:
    """Return the generator for a seed of any kind that ``numpy.random.default_rng`` takes."""
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        message = f"`{name}` must be an int of at least 0 or a numpy.random.Generator, got {seed!r}"
        raise type(error)(message) from error


def uniform(
    random: np.random.Generator,
    shape: tuple[int, ...],
    bound: float,
    *,
    xp: Namespace,
    dtype: Any = None,
    device: Any = None,
) -> AnyArray:
    """Draw from U(-bound, bound) on the host, in float64, and make an array of `xp`; see `placed`.

    Parameters
    ----------
    random : numpy.random.Generator
        Where the numbers come from.
    shape : tuple of int
        The shape of the array.
    bound : float
        Half the width of the distribution.
    xp : namespace
        A standard namespace.
    dtype : dtype or str, optional
        A real floating-point dtype of `xp`, or its name. Default: float32.
    device : device, optional
        Where to put the array. Default: the library's default.
    """
    numbers = random.uniform(-bound, bound, size=shape)
    return placed(numbers, xp=xp, dtype=dtype, device=device)


def placed(numbers: Any, *, xp: Namespace, dtype: Any = None, device: Any = None) -> AnyArray:
    """Make an array of `xp` of numbers on the host.

    Parameters
    ----------
    numbers : numpy.ndarray
        The numbers, in float64.
    xp : namespace
        A standard namespace.
    dtype : dtype or str, optional
        A real floating-point dtype of `xp`, or its name. Default: float32.
    device : device, optional
        Where to put the array. Default: the library's default.

    Returns
    -------
    array : array
        The numbers, rounded to `dtype`.

    Raises
    ------
    TypeError
        If `dtype` is not a real floating-point dtype of `xp`.
    ValueError
        If the library gives another dtype than asked for.
    """
    dtype = _dtype(dtype, xp=xp)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX warns that it truncates; the check below refuses it
        array = xp.asarray(numbers, dtype=dtype, device=device)
    if array.dtype != dtype:
        message = (
            f"`dtype` {_name(dtype)} was asked for, but {library(xp)} made {array.dtype}: if this "
            'is JAX, call jax.config.update("jax_enable_x64", True) first, or ask for float32'
        )
        raise ValueError(message)
    return array


def _dtype(dtype: Any, *, xp: Namespace) -> Any:
    """Return the dtype for None (float32), a name or a dtype; refuse all but real floating ones."""
    if dtype is None:
        return xp.float32
    found = getattr(xp, dtype, dtype) if isinstance(dtype, str) else dtype
    if not is_kind(found, "real floating", xp=xp):
        message = (
            f"`dtype` must be a real floating-point dtype of {library(xp)}, as "
            f"{library(xp)}.float32, got {_name(dtype)}"
        )
        raise TypeError(message)
    return found


def _name(dtype: Any) -> str:
    return dtype.__name__ if isinstance(dtype, type) else str(dtype)
