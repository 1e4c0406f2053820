"""The four functions of the notebook for the RNN; symbols as in `xpbptt.notebook`."""

from functools import partial

import array_api_compat

from xpbptt._arrays.types import AnyArray, Namespace
from xpbptt.notebook import checks
from xpbptt.notebook.maths import (
    Cache,
    Caches,
    Gradients,
    Parameters,
    over_time,
    softmax,
)


def rnn_cell_forward(
    xt: AnyArray, a_prev: AnyArray, parameters: Parameters
) -> tuple[AnyArray, AnyArray, Cache]:
    """Take one step of the RNN.

    Parameters
    ----------
    xt : array (n_x, m)
        Input of this step, real floating-point as all arrays here.
    a_prev : array (n_a, m)
        Hidden state before the step.
    parameters : dict
        ``Wax``, ``Waa``, ``Wya``, ``ba``, ``by``.

    Returns
    -------
    a_next : array (n_a, m)
        Hidden state after the step.
    yt_pred : array (n_y, m)
        Prediction; the entries of each example sum to 1.
    cache : tuple
        ``(a_next, a_prev, xt, parameters)``, for `rnn_cell_backward`.

    Raises
    ------
    TypeError, ValueError
        If arrays differ in library, dtype or device, are not floating-point, or have the wrong
        shape; if a key of `parameters` is missing or unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from xpbptt.notebook import rnn_cell_forward
    >>> draw = np.random.default_rng(0).standard_normal
    >>> shapes = {"Wax": (5, 3), "Waa": (5, 5), "Wya": (2, 5), "ba": (5, 1), "by": (2, 1)}
    >>> parameters = {key: draw(shape) for key, shape in shapes.items()}
    >>> a_next, yt_pred, cache = rnn_cell_forward(draw((3, 7)), draw((5, 7)), parameters)
    >>> a_next.shape, yt_pred.shape
    ((5, 7), (2, 7))
    """
    xp = checks.check_arrays(
        *checks.check_parameters("parameters", parameters, checks.RNN),
        ("xt", xt, "n_x, m"),
        ("a_prev", a_prev, "n_a, m"),
    )
    return _rnn_cell_forward(xt, a_prev, parameters, xp=xp)


def _rnn_cell_forward(
    xt: AnyArray, a_prev: AnyArray, parameters: Parameters, *, xp: Namespace
) -> tuple[AnyArray, AnyArray, Cache]:
    Wax, Waa, ba = parameters["Wax"], parameters["Waa"], parameters["ba"]
    Wya, by = parameters["Wya"], parameters["by"]

    a_next = xp.tanh(Wax @ xt + Waa @ a_prev + ba)
    yt_pred = softmax(Wya @ a_next + by, xp=xp)

    return a_next, yt_pred, (a_next, a_prev, xt, parameters)


def rnn_forward(
    x: AnyArray, a0: AnyArray, parameters: Parameters
) -> tuple[AnyArray, AnyArray, Caches]:
    """Run the RNN over a sequence.

    Parameters
    ----------
    x : array (n_x, m, T_x)
        Input.
    a0 : array (n_a, m)
        Hidden state before the first step.
    parameters : dict
        As for `rnn_cell_forward`.

    Returns
    -------
    a : array (n_a, m, T_x)
        Hidden state after each step.
    y_pred : array (n_y, m, T_x)
        Prediction of each step.
    caches : tuple
        ``(list of the T_x caches, x)``, for `rnn_backward`.

    Raises
    ------
    TypeError, ValueError
        As `rnn_cell_forward`.

    Examples
    --------
    >>> import numpy as np
    >>> from xpbptt.notebook import rnn_forward
    >>> draw = np.random.default_rng(0).standard_normal
    >>> shapes = {"Wax": (5, 3), "Waa": (5, 5), "Wya": (2, 5), "ba": (5, 1), "by": (2, 1)}
    >>> parameters = {key: draw(shape) for key, shape in shapes.items()}
    >>> a, y_pred, caches = rnn_forward(draw((3, 7, 4)), draw((5, 7)), parameters)
    >>> a.shape, y_pred.shape
    ((5, 7, 4), (2, 7, 4))
    """
    xp = checks.check_arrays(
        *checks.check_parameters("parameters", parameters, checks.RNN),
        ("x", x, "n_x, m, T_x"),
        ("a0", a0, "n_a, m"),
    )
    a, y_pred, caches = [], [], []
    a_next = a0
    for t in range(x.shape[2]):
        a_next, yt_pred, cache = _rnn_cell_forward(x[:, :, t], a_next, parameters, xp=xp)
        a.append(a_next)
        y_pred.append(yt_pred)
        caches.append(cache)
    return (
        over_time(a, a0.shape[0], x, xp=xp),
        over_time(y_pred, parameters["by"].shape[0], x, xp=xp),
        (caches, x),
    )


def rnn_cell_backward(da_next: AnyArray, cache: Cache) -> Gradients:
    """Go back through one step of the RNN.

    Parameters
    ----------
    da_next : array (n_a, m)
        Gradient by the hidden state after the step.
    cache : tuple
        What `rnn_cell_forward` returned.

    Returns
    -------
    gradients : dict
        ``dxt (n_x, m)``, ``da_prev (n_a, m)``, ``dWax (n_a, n_x)``, ``dWaa (n_a, n_a)``,
        ``dba (n_a, 1)``.

    Raises
    ------
    TypeError, ValueError
        If `da_next` does not fit the cache, or the cache is not this function's.

    Examples
    --------
    >>> import numpy as np
    >>> from xpbptt.notebook import rnn_cell_backward, rnn_cell_forward
    >>> draw = np.random.default_rng(0).standard_normal
    >>> shapes = {"Wax": (5, 3), "Waa": (5, 5), "Wya": (2, 5), "ba": (5, 1), "by": (2, 1)}
    >>> parameters = {key: draw(shape) for key, shape in shapes.items()}
    >>> a_next, yt_pred, cache = rnn_cell_forward(draw((3, 7)), draw((5, 7)), parameters)
    >>> gradients = rnn_cell_backward(draw((5, 7)), cache)
    >>> {key: gradient.shape for key, gradient in gradients.items()}
    {'dxt': (3, 7), 'da_prev': (5, 7), 'dWax': (5, 3), 'dWaa': (5, 5), 'dba': (5, 1)}
    """
    xp = checks.check_arrays(
        *checks.check_cache("cache", cache, checks.RNN), ("da_next", da_next, "n_a, m")
    )
    return _rnn_cell_backward(da_next, cache, xp=xp)


def _rnn_cell_backward(da_next: AnyArray, cache: Cache, *, xp: Namespace) -> Gradients:
    a_next, a_prev, xt, parameters = cache
    Wax, Waa = parameters["Wax"], parameters["Waa"]

    dtanh = da_next * (1 - a_next**2)  # (0)
    dWax = dtanh @ xt.T  # (1)
    dWaa = dtanh @ a_prev.T  # (2)
    dba = xp.sum(dtanh, axis=1, keepdims=True)  # (3)
    dxt = Wax.T @ dtanh  # (4)
    da_prev = Waa.T @ dtanh  # (5)

    return {"dxt": dxt, "da_prev": da_prev, "dWax": dWax, "dWaa": dWaa, "dba": dba}


def rnn_backward(da: AnyArray, caches: Caches) -> Gradients:
    """Go back through a sequence of the RNN.

    Parameters
    ----------
    da : array (n_a, m, T)
        Gradient by the hidden state after each of the first T ≤ T_x steps. T < T_x means that the
        loss looks at those steps only.
    caches : tuple
        What `rnn_forward` returned.

    Returns
    -------
    gradients : dict
        ``dx (n_x, m, T)``, ``da0 (n_a, m)``, ``dWax (n_a, n_x)``, ``dWaa (n_a, n_a)``,
        ``dba (n_a, 1)``.

    Raises
    ------
    TypeError, ValueError
        If `da` does not fit the caches or is longer, or the caches are not this function's.

    Examples
    --------
    >>> import numpy as np
    >>> from xpbptt.notebook import rnn_backward, rnn_forward
    >>> draw = np.random.default_rng(0).standard_normal
    >>> shapes = {"Wax": (5, 3), "Waa": (5, 5), "Wya": (2, 5), "ba": (5, 1), "by": (2, 1)}
    >>> parameters = {key: draw(shape) for key, shape in shapes.items()}
    >>> a, y_pred, caches = rnn_forward(draw((3, 7, 4)), draw((5, 7)), parameters)
    >>> gradients = rnn_backward(draw((5, 7, 4)), caches)
    >>> {key: gradient.shape for key, gradient in gradients.items()}
    {'dx': (3, 7, 4), 'da0': (5, 7), 'dWax': (5, 3), 'dWaa': (5, 5), 'dba': (5, 1)}
    """
    xp = checks.check_sequence(da, caches, checks.RNN)
    cell_caches, x = caches
    n_a, m, T = da.shape
    n_x = x.shape[0]
    zeros = partial(xp.zeros, dtype=da.dtype, device=array_api_compat.device(da))
    dx = []
    da_prevt, dba = zeros((n_a, m)), zeros((n_a, 1))
    dWax, dWaa = zeros((n_a, n_x)), zeros((n_a, n_a))

    for t in reversed(range(T)):
        gradients = _rnn_cell_backward(da[:, :, t] + da_prevt, cell_caches[t], xp=xp)
        da_prevt = gradients["da_prev"]
        dx.append(gradients["dxt"])
        dWax = dWax + gradients["dWax"]
        dWaa = dWaa + gradients["dWaa"]
        dba = dba + gradients["dba"]

    dx = over_time(dx[::-1], n_x, x, xp=xp)
    return {"dx": dx, "da0": da_prevt, "dWax": dWax, "dWaa": dWaa, "dba": dba}
