"""Initial weights: drawn on the host, so that a seed means the same on every library."""

import warnings
from typing import Any

import numpy as np

Array = Any
Namespace = Any


def uniform(
    generator: np.random.Generator,
    shape: tuple[int, ...],
    bound: float,
    *,
    xp: Namespace,
    dtype: Any = None,
    device: Any = None,
) -> Array:
    """Draw from U(-bound, bound) on the host, in float64, and hand the numbers to `xp`.

    Parameters
    ----------
    generator : numpy.random.Generator
        Where the numbers come from.
    shape : tuple of int
        The shape of the array.
    bound : float
        Half the width of the distribution.
    xp : namespace
        A standard namespace.
    dtype : dtype, optional
        A real floating-point dtype of `xp`. Default: its float32.
    device : device, optional
        Where to put the array. Default: the library's default.

    Returns
    -------
    array : array
        The numbers, rounded to `dtype`.

    Raises
    ------
    TypeError
        If `dtype` is no real floating-point dtype of `xp`.
    ValueError
        If the library gives another dtype than asked for.
    """
    dtype = xp.float32 if dtype is None else dtype
    _check_dtype(dtype, xp=xp)
    draws = generator.uniform(-bound, bound, size=shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX warns that it truncates; the check below refuses it
        array = xp.asarray(draws, dtype=dtype, device=device)
    if array.dtype != dtype:
        message = (
            f"`dtype` {_name(dtype)} was asked for, but {xp.__name__} made {array.dtype}: if this "
            'is JAX, call jax.config.update("jax_enable_x64", True) first, or ask for float32'
        )
        raise ValueError(message)
    return array


def _check_dtype(dtype: Any, *, xp: Namespace) -> None:
    try:
        real = xp.isdtype(dtype, "real floating")
    except (TypeError, ValueError, AttributeError):  # what no dtype of `xp` raises differs
        real = False
    if not real:
        message = (
            f"`dtype` must be a real floating-point dtype of {xp.__name__}, as "
            f"{xp.__name__}.float32, got {_name(dtype)}"
        )
        raise TypeError(message)


def _name(dtype: Any) -> str:
    return dtype.__name__ if isinstance(dtype, type) else str(dtype)
