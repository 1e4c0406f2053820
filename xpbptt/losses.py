"""Losses: each returns its value and its gradient, and never reads an array on the host.

Half precision is computed in float32 and only the results are rounded, as under ``torch.autocast``:
in float16 a count or a sum over many positions would overflow.
"""

import math
from typing import Any

import array_api_compat

from xpbptt._arrays import check
from xpbptt._arrays.types import Array, ArrayT, Namespace
from xpbptt._arrays.wide import narrowed, widened


def softmax_cross_entropy(
    logits: ArrayT, labels: Array, mask: Array | None = None
) -> tuple[ArrayT, ArrayT]:
    """Return the mean cross-entropy of class labels under the softmax of `logits`, in nats.

    Parameters
    ----------
    logits : array (..., K)
        Unnormalised logarithms of the probabilities of K classes, with any leading axes, as
        (T, B, K); real floating-point.
    labels : array (...)
        The number of the right class at each position, from 0 to K - 1; integers.
    mask : array (...), optional
        Boolean; False leaves a position out, whatever its logits and label are. Default: all count.

    Returns
    -------
    loss : array ()
        The mean over the positions that count, 0 if there are none; of the dtype of `logits`.
    dlogits : array (..., K)
        The gradient of `loss` by `logits`, zero where the mask is False.

    Raises
    ------
    TypeError
        If an argument is not an array of the library of `logits` or has the wrong kind of dtype.
    ValueError
        If a shape or device does not fit, or a label is out of range in a NumPy array.

    Notes
    -----
    With n positions that count, loss = Σ (log Σₖ exp zₖ - z_label) / n and
    dz = (softmax z - onehot label) / n; see [1]_, equations 4.106 to 4.109. The maximum of each
    position is subtracted first, so that no exponential overflows.

    A label that is out of range and not masked is refused on NumPy. On other libraries the check
    would wait for the device: there the loss and the gradient of that position are NaN.

    References
    ----------
    .. [1] C. M. Bishop, "Pattern Recognition and Machine Learning", Springer, 2006.

    Examples
    --------
    >>> import numpy as np
    >>> from xpbptt.losses import softmax_cross_entropy
    >>> loss, dlogits = softmax_cross_entropy(np.zeros((5, 2, 4)), np.ones((5, 2), dtype=int))
    >>> bool(np.isclose(loss, np.log(4)))
    True
    >>> dlogits.shape
    (5, 2, 4)
    """
    xp = _real("logits", logits)
    dtype = logits.dtype
    if len(logits.shape) == 0 or logits.shape[-1] == 0:
        message = (
            f"`logits` has shape {tuple(logits.shape)}, expected (..., K): the last axis holds the "
            "K classes, at least one"
        )
        raise ValueError(message)
    positions = tuple(logits.shape[:-1])
    check.beside("labels", labels, "logits", logits, kind="integral", xp=xp)
    check.shape("labels", labels, positions, "that of `logits` without its last axis")
    if mask is not None:
        check.beside("mask", mask, "logits", logits, kind="bool", xp=xp)
        check.shape("mask", mask, positions, "that of `logits` without its last axis")
    _check_labels(labels, mask, logits.shape[-1])
    if mask is not None:
        logits = xp.where(mask[..., None], logits, xp.zeros_like(logits))
    logits = widened(logits, xp=xp)
    classes = xp.arange(logits.shape[-1], device=array_api_compat.device(logits))
    labels = xp.astype(labels, classes.dtype)
    weight, count = _weights(labels, mask, logits, xp=xp)
    onehot = labels[..., None] == classes
    shifted = logits - xp.max(logits, axis=-1, keepdims=True)
    exponentials = xp.exp(shifted)
    total = xp.sum(exponentials, axis=-1, keepdims=True)
    picked = xp.sum(xp.where(onehot, shifted, xp.zeros_like(shifted)), axis=-1)
    losses = xp.log(total[..., 0]) - picked
    dlogits = exponentials / total
    dlogits -= xp.astype(onehot, logits.dtype)
    dlogits *= (weight / count)[..., None]
    loss = xp.sum(weight * losses) / count
    return narrowed(loss, dtype, xp=xp), narrowed(dlogits, dtype, xp=xp)


def mean_squared_error(
    predictions: ArrayT, targets: Array, mask: Array | None = None
) -> tuple[ArrayT, ArrayT]:
    """Return the mean of the squared differences over all elements.

    Parameters
    ----------
    predictions : array (...)
        Any shape, as (T, B, O); real floating-point.
    targets : array (...)
        What the predictions should be; same shape and dtype.
    mask : array, optional
        Boolean; False leaves elements out, whatever their values are. Either the shape of
        `predictions`, or that shape without its last axis, as (T, B): then a position counts with
        all its elements or not at all. Default: all count.

    Returns
    -------
    loss : array ()
        The mean over the elements that count, 0 if there are none.
    dpredictions : array (...)
        The gradient of `loss` by `predictions`, zero where the mask is False.

    Raises
    ------
    TypeError
        If an argument is not an array of the library of `predictions` or has another dtype.
    ValueError
        If a shape or device does not fit.

    Notes
    -----
    With n elements that count, loss = Σ (p - t)² / n and dp = 2 (p - t) / n.

    Examples
    --------
    >>> import numpy as np
    >>> from xpbptt.losses import mean_squared_error
    >>> loss, dp = mean_squared_error(np.asarray([1.0, 3.0]), np.asarray([1.0, 1.0]))
    >>> float(loss), dp.tolist()
    (2.0, [0.0, 2.0])
    """
    xp = _real("predictions", predictions)
    check.one_namespace([("predictions", predictions), ("targets", targets)])
    expected = tuple(predictions.shape)
    check.shape("targets", targets, expected, "that of `predictions`")
    dtype = predictions.dtype
    p, t = (widened(array, xp=xp) for array in (predictions, targets))
    count: Any = float(max(math.prod(expected), 1))
    if mask is not None:
        elements = _element_mask(mask, p, xp=xp)
        zeros = xp.zeros_like(p)
        p, t = xp.where(elements, p, zeros), xp.where(elements, t, zeros)
        count = _count(elements, p.dtype, xp=xp)
    difference = p - t
    loss = xp.sum(difference * difference) / count
    gradient = difference * (2.0 / count)
    return narrowed(loss, dtype, xp=xp), narrowed(gradient, dtype, xp=xp)


def _real(name: str, array: Array) -> Namespace:
    """Return the namespace of an array of real floating-point numbers, and refuse others."""
    xp = check.array_namespace(name, array)
    if not check.is_kind(array.dtype, "real floating", xp=xp):
        message = (
            f"`{name}` must be an array of real floating-point numbers, got {array.dtype}"
            f"{check.advice(array.dtype, xp=xp)}"
        )
        raise TypeError(message)
    check.unrecorded(name, array)
    return xp


def _element_mask(mask: Any, predictions: Array, *, xp: Namespace) -> Any:
    """Return the mask of each element, having checked `mask` against `predictions`."""
    check.beside("mask", mask, "predictions", predictions, kind="bool", xp=xp)
    elements = tuple(predictions.shape)
    came = tuple(mask.shape)
    if came == elements:
        return mask
    if elements and came == elements[:-1]:
        return xp.broadcast_to(mask[..., None], elements)
    message = (
        f"`mask` has shape {came}, expected that of `predictions`, {elements}, or that without "
        f"its last axis, {elements[:-1]}"
    )
    raise ValueError(message)


def _check_labels(labels: Any, mask: Any, classes: int) -> None:
    """Refuse labels out of range that are not masked, in a NumPy array, which is on the host."""
    if array_api_compat.is_numpy_array(labels):
        wrong = (labels < 0) | (labels >= classes)
        wrong = labels[wrong if mask is None else wrong & mask]
        check.in_range("labels", wrong, f"from 0 to K - 1 = {classes - 1}")


def _weights(labels: Any, mask: Any, logits: Array, *, xp: Namespace) -> tuple[Any, Any]:
    """Return the weight of each position, and how many count (at least 1).

    A weight is 1, or 0 where masked, or NaN where the label is out of range.
    """
    device = array_api_compat.device(logits)
    ones = xp.ones(labels.shape, dtype=logits.dtype, device=device)
    known = (labels >= 0) & (labels < logits.shape[-1])
    weight = xp.where(known, ones, xp.full_like(ones, math.nan))
    if mask is None:
        return weight, float(max(math.prod(labels.shape), 1))
    return xp.where(mask, weight, xp.zeros_like(ones)), _count(mask, logits.dtype, xp=xp)


def _count(mask: Array, dtype: Any, *, xp: Namespace) -> Any:
    """Return how many elements of `mask` are True, at least 1, as an array ()."""
    count = xp.sum(xp.astype(mask, xp.int32))
    return xp.astype(xp.maximum(count, xp.ones_like(count)), dtype)
