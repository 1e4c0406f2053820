"""Clipping by the norm of all gradients together."""

from xpbptt._arrays.norms import clip
from xpbptt._arrays.tree import leaves, map_leaves
from xpbptt._arrays.types import AnyArray, TreeT
from xpbptt.optim.optimizer import number, one_namespace


def clip_by_global_norm(grads: TreeT, max_norm: float) -> tuple[TreeT, AnyArray]:
    """Scale all gradients down together so that their norm is at most `max_norm`.

    Parameters
    ----------
    grads : tree of arrays
        The gradients.
    max_norm : float
        The largest norm that is left alone, above 0.

    Returns
    -------
    clipped : tree of arrays
        The gradients times min(1, max_norm / norm), of the same dtype.
    norm : array ()
        The Euclidean norm of all elements together, before clipping.

    Raises
    ------
    TypeError, ValueError
        If the gradients differ in dtype, library or device, or `max_norm` is not above 0.

    Notes
    -----
    See [1]_. The squares are taken relative to the largest element, so that no finite gradient
    overflows on the way. If any is infinite or NaN, so are the norm and what is clipped.

    References
    ----------
    .. [1] R. Pascanu, T. Mikolov and Y. Bengio, "On the difficulty of training recurrent neural
       networks", ICML 2013, algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> from xpbptt.optim import clip_by_global_norm
    >>> grads = {"w": np.asarray([3.0, 0.0]), "b": np.asarray([4.0])}
    >>> clipped, norm = clip_by_global_norm(grads, max_norm=1.0)
    >>> float(norm), clipped["b"].round(6).tolist()
    (5.0, [0.8])
    """
    limit = number("max_norm", max_norm, "above 0", lambda value: value > 0)
    xp = one_namespace("grads", grads)
    clipped, norm = clip([leaf for _, leaf in leaves(grads)], limit, xp=xp)
    each = iter(clipped)
    return map_leaves(lambda _: xp.asarray(next(each)), grads), xp.asarray(norm)
