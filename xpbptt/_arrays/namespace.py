"""The standard namespace of an array library, once for each."""

from functools import lru_cache

import array_api_compat

from xpbptt._arrays.types import Namespace


def standard(xp: Namespace) -> Namespace:
    """Return the standard namespace for a namespace that a caller passed as ``xp=``.

    Parameters
    ----------
    xp : namespace
        An array library's own module, as ``numpy``, ``cupy``, ``torch`` or ``jax.numpy``, or a
        standard namespace, as ``array_api_strict`` or ``array_api_compat.cupy``.

    Returns
    -------
    namespace
        The one that ``array_api_compat.array_namespace`` finds for arrays made by `xp`. It is
        found by making an empty array, once for each `xp`.

    Raises
    ------
    TypeError
        If `xp` cannot make arrays. What a library raises for a missing device is passed on.

    Examples
    --------
    >>> import numpy
    >>> from xpbptt._arrays.namespace import standard
    >>> standard(numpy).__name__
    'array_api_compat.numpy'
    """
    if callable(getattr(xp, "empty", None)):
        try:
            return _namespace_of_arrays(xp)
        except TypeError as error:
            raise TypeError(_no_namespace(xp)) from error
    raise TypeError(_no_namespace(xp))


@lru_cache(maxsize=32)
def _namespace_of_arrays(xp: Namespace) -> Namespace:
    return array_api_compat.array_namespace(xp.empty(0))


def _no_namespace(xp: object) -> str:
    return (
        f"`xp` must be the namespace of an array library, as numpy or cupy, "
        f"got {type(xp).__name__} {str(xp)[:60]!r}; xpbptt.backends.load turns a name into one"
    )
