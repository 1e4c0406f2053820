"""The four functions of the notebook for the LSTM; symbols as in `xpbptt.notebook`."""

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
    sigmoid,
    softmax,
)


def lstm_cell_forward(
    xt: AnyArray, a_prev: AnyArray, c_prev: AnyArray, parameters: Parameters
) -> tuple[AnyArray, AnyArray, AnyArray, Cache]:
    """Take one step of the LSTM.

    Parameters
    ----------
    xt : array (n_x, m)
        Input of this step, real floating-point as all arrays here.
    a_prev, c_prev : array (n_a, m)
        Hidden state and memory before the step.
    parameters : dict
        ``Wf``, ``bf``, ``Wi``, ``bi``, ``Wc``, ``bc``, ``Wo``, ``bo``, ``Wy``, ``by``.

    Returns
    -------
    a_next, c_next : array (n_a, m)
        Hidden state and memory after the step.
    yt_pred : array (n_y, m)
        Prediction; the entries of each example sum to 1.
    cache : tuple
        ``(a_next, c_next, a_prev, c_prev, ft, it, cct, ot, xt, parameters)``, for
        `lstm_cell_backward`.

    Raises
    ------
    TypeError, ValueError
        If arrays differ in library, dtype or device, are not floating-point, or have the wrong
        shape; if a key of `parameters` is missing or unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from xpbptt.notebook import lstm_cell_forward
    >>> draw = np.random.default_rng(0).standard_normal
    >>> parameters = {"Wy": draw((2, 5)), "by": draw((2, 1))}
    >>> parameters |= {f"W{gate}": draw((5, 8)) for gate in "fico"}
    >>> parameters |= {f"b{gate}": draw((5, 1)) for gate in "fico"}
    >>> xt, a_prev, c_prev = draw((3, 7)), draw((5, 7)), draw((5, 7))
    >>> a_next, c_next, yt_pred, cache = lstm_cell_forward(xt, a_prev, c_prev, parameters)
    >>> a_next.shape, c_next.shape, yt_pred.shape
    ((5, 7), (5, 7), (2, 7))
    """
    xp = checks.check_arrays(
        *checks.check_parameters("parameters", parameters, checks.LSTM),
        ("xt", xt, "n_x, m"),
        ("a_prev", a_prev, "n_a, m"),
        ("c_prev", c_prev, "n_a, m"),
    )
    return _lstm_cell_forward(xt, a_prev, c_prev, parameters, xp=xp)


def _lstm_cell_forward(
    xt: AnyArray, a_prev: AnyArray, c_prev: AnyArray, parameters: Parameters, *, xp: Namespace
) -> tuple[AnyArray, AnyArray, AnyArray, Cache]:
    Wf, Wi, Wc, Wo = (parameters[key] for key in ("Wf", "Wi", "Wc", "Wo"))
    bf, bi, bc, bo = (parameters[key] for key in ("bf", "bi", "bc", "bo"))
    Wy, by = parameters["Wy"], parameters["by"]
    concat = xp.concat([a_prev, xt], axis=0)

    ft = sigmoid(Wf @ concat + bf, xp=xp)  # (1)
    it = sigmoid(Wi @ concat + bi, xp=xp)  # (2)
    cct = xp.tanh(Wc @ concat + bc)  # (3)
    c_next = ft * c_prev + it * cct  # (4)
    ot = sigmoid(Wo @ concat + bo, xp=xp)  # (5)
    a_next = ot * xp.tanh(c_next)  # (6)
    yt_pred = softmax(Wy @ a_next + by, xp=xp)

    cache = (a_next, c_next, a_prev, c_prev, ft, it, cct, ot, xt, parameters)
    return a_next, c_next, yt_pred, cache


def lstm_forward(
    x: AnyArray, a0: AnyArray, parameters: Parameters
) -> tuple[AnyArray, AnyArray, AnyArray, Caches]:
    """Run the LSTM over a sequence, from a memory of zeros.

    Parameters
    ----------
    x : array (n_x, m, T_x)
        Input.
    a0 : array (n_a, m)
        Hidden state before the first step.
    parameters : dict
        As for `lstm_cell_forward`.

    Returns
    -------
    a : array (n_a, m, T_x)
        Hidden state after each step.
    y : array (n_y, m, T_x)
        Prediction of each step.
    c : array (n_a, m, T_x)
        Memory after each step.
    caches : tuple
        ``(list of the T_x caches, x)``, for `lstm_backward`.

    Raises
    ------
    TypeError, ValueError
        As `lstm_cell_forward`.

    Examples
    --------
    >>> import numpy as np
    >>> from xpbptt.notebook import lstm_forward
    >>> draw = np.random.default_rng(0).standard_normal
    >>> parameters = {"Wy": draw((2, 5)), "by": draw((2, 1))}
    >>> parameters |= {f"W{gate}": draw((5, 8)) for gate in "fico"}
    >>> parameters |= {f"b{gate}": draw((5, 1)) for gate in "fico"}
    >>> a, y, c, caches = lstm_forward(draw((3, 7, 4)), draw((5, 7)), parameters)
    >>> a.shape, y.shape, c.shape
    ((5, 7, 4), (2, 7, 4), (5, 7, 4))
    """
    xp = checks.check_arrays(
        *checks.check_parameters("parameters", parameters, checks.LSTM),
        ("x", x, "n_x, m, T_x"),
        ("a0", a0, "n_a, m"),
    )
    a, y, c, caches = [], [], [], []
    a_next, c_next = a0, xp.zeros_like(a0)
    for t in range(x.shape[2]):
        xt = x[:, :, t]
        a_next, c_next, yt_pred, cache = _lstm_cell_forward(xt, a_next, c_next, parameters, xp=xp)
        a.append(a_next)
        y.append(yt_pred)
        c.append(c_next)
        caches.append(cache)
    return (
        over_time(a, a0.shape[0], x, xp=xp),
        over_time(y, parameters["by"].shape[0], x, xp=xp),
        over_time(c, a0.shape[0], x, xp=xp),
        (caches, x),
    )


def lstm_cell_backward(da_next: AnyArray, dc_next: AnyArray, cache: Cache) -> Gradients:
    """Go back through one step of the LSTM.

    Parameters
    ----------
    da_next, dc_next : array (n_a, m)
        Gradient by the hidden state and by the memory after the step. `dc_next` leaves out the
        part that comes through this step's hidden state.
    cache : tuple
        What `lstm_cell_forward` returned.

    Returns
    -------
    gradients : dict
        ``dxt (n_x, m)``, ``da_prev`` and ``dc_prev (n_a, m)``, and of each gate ``dWf``, ``dWi``,
        ``dWc``, ``dWo (n_a, n_a + n_x)`` and ``dbf``, ``dbi``, ``dbc``, ``dbo (n_a, 1)``.

    Raises
    ------
    TypeError, ValueError
        If `da_next` or `dc_next` does not fit the cache, or the cache is not this function's.

    Examples
    --------
    >>> import numpy as np
    >>> from xpbptt.notebook import lstm_cell_backward, lstm_cell_forward
    >>> draw = np.random.default_rng(0).standard_normal
    >>> parameters = {"Wy": draw((2, 5)), "by": draw((2, 1))}
    >>> parameters |= {f"W{gate}": draw((5, 8)) for gate in "fico"}
    >>> parameters |= {f"b{gate}": draw((5, 1)) for gate in "fico"}
    >>> xt, a_prev, c_prev = draw((3, 7)), draw((5, 7)), draw((5, 7))
    >>> a_next, c_next, yt_pred, cache = lstm_cell_forward(xt, a_prev, c_prev, parameters)
    >>> gradients = lstm_cell_backward(draw((5, 7)), draw((5, 7)), cache)
    >>> gradients["dxt"].shape, gradients["dWf"].shape, gradients["dbf"].shape
    ((3, 7), (5, 8), (5, 1))
    """
    xp = checks.check_arrays(
        *checks.check_cache("cache", cache, checks.LSTM),
        ("da_next", da_next, "n_a, m"),
        ("dc_next", dc_next, "n_a, m"),
    )
    return _lstm_cell_backward(da_next, dc_next, cache, xp=xp)


def _lstm_cell_backward(
    da_next: AnyArray, dc_next: AnyArray, cache: Cache, *, xp: Namespace
) -> Gradients:
    a_next, c_next, a_prev, c_prev, ft, it, cct, ot, xt, parameters = cache
    Wf, Wi, Wc, Wo = (parameters[key] for key in ("Wf", "Wi", "Wc", "Wo"))
    n_a = a_next.shape[0]
    concat = xp.concat([a_prev, xt], axis=0)
    tanh_c = xp.tanh(c_next)

    dgamma_o = da_next * tanh_c * ot * (1 - ot)  # (7)
    dpcct = (dc_next * it + ot * (1 - tanh_c**2) * it * da_next) * (1 - cct**2)  # (8)
    dgamma_i = (dc_next * cct + ot * (1 - tanh_c**2) * cct * da_next) * it * (1 - it)  # (9)
    dgamma_f = (dc_next * c_prev + ot * (1 - tanh_c**2) * c_prev * da_next) * ft * (1 - ft)  # (10)

    dWf = dgamma_f @ concat.T  # (11)
    dWi = dgamma_i @ concat.T  # (12)
    dWc = dpcct @ concat.T  # (13)
    dWo = dgamma_o @ concat.T  # (14)
    dbf = xp.sum(dgamma_f, axis=1, keepdims=True)  # (15)
    dbi = xp.sum(dgamma_i, axis=1, keepdims=True)  # (16)
    dbc = xp.sum(dpcct, axis=1, keepdims=True)  # (17)
    dbo = xp.sum(dgamma_o, axis=1, keepdims=True)  # (18)

    da_prev = (  # (19)
        Wf[:, :n_a].T @ dgamma_f
        + Wi[:, :n_a].T @ dgamma_i
        + Wc[:, :n_a].T @ dpcct
        + Wo[:, :n_a].T @ dgamma_o
    )
    dc_prev = dc_next * ft + ot * (1 - tanh_c**2) * ft * da_next  # (20)
    dxt = (  # (21)
        Wf[:, n_a:].T @ dgamma_f
        + Wi[:, n_a:].T @ dgamma_i
        + Wc[:, n_a:].T @ dpcct
        + Wo[:, n_a:].T @ dgamma_o
    )

    gradients = {"dxt": dxt, "da_prev": da_prev, "dc_prev": dc_prev, "dWf": dWf, "dbf": dbf}
    return gradients | {"dWi": dWi, "dbi": dbi, "dWc": dWc, "dbc": dbc, "dWo": dWo, "dbo": dbo}


def lstm_backward(da: AnyArray, caches: Caches) -> Gradients:
    """Go back through a sequence of the LSTM.

    Parameters
    ----------
    da : array (n_a, m, T)
        Gradient by the hidden state after each of the first T ≤ T_x steps. T < T_x means that the
        loss looks at those steps only.
    caches : tuple
        What `lstm_forward` returned.

    Returns
    -------
    gradients : dict
        ``dx (n_x, m, T)``, ``da0 (n_a, m)``, and of each gate ``dWf``, ``dWi``, ``dWc``,
        ``dWo (n_a, n_a + n_x)`` and ``dbf``, ``dbi``, ``dbc``, ``dbo (n_a, 1)``.

    Raises
    ------
    TypeError, ValueError
        If `da` does not fit the caches or is longer, or the caches are not this function's.

    Examples
    --------
    >>> import numpy as np
    >>> from xpbptt.notebook import lstm_backward, lstm_forward
    >>> draw = np.random.default_rng(0).standard_normal
    >>> parameters = {"Wy": draw((2, 5)), "by": draw((2, 1))}
    >>> parameters |= {f"W{gate}": draw((5, 8)) for gate in "fico"}
    >>> parameters |= {f"b{gate}": draw((5, 1)) for gate in "fico"}
    >>> a, y, c, caches = lstm_forward(draw((3, 7, 4)), draw((5, 7)), parameters)
    >>> gradients = lstm_backward(draw((5, 7, 2)), caches)  # a loss on the first two steps
    >>> gradients["dx"].shape, gradients["da0"].shape, gradients["dWo"].shape
    ((3, 7, 2), (5, 7), (5, 8))
    """
    xp = checks.check_sequence(da, caches, checks.LSTM)
    cell_caches, x = caches
    n_a, m, T = da.shape
    n_x = x.shape[0]
    zeros = partial(xp.zeros, dtype=da.dtype, device=array_api_compat.device(da))
    dx = []
    da_prevt, dc_prevt = zeros((n_a, m)), zeros((n_a, m))
    dWf, dWi, dWc, dWo = (zeros((n_a, n_a + n_x)) for _ in range(4))
    dbf, dbi, dbc, dbo = (zeros((n_a, 1)) for _ in range(4))

    for t in reversed(range(T)):
        gradients = _lstm_cell_backward(da[:, :, t] + da_prevt, dc_prevt, cell_caches[t], xp=xp)
        da_prevt = gradients["da_prev"]
        dc_prevt = gradients["dc_prev"]
        dx.append(gradients["dxt"])
        dWf, dbf = dWf + gradients["dWf"], dbf + gradients["dbf"]
        dWi, dbi = dWi + gradients["dWi"], dbi + gradients["dbi"]
        dWc, dbc = dWc + gradients["dWc"], dbc + gradients["dbc"]
        dWo, dbo = dWo + gradients["dWo"], dbo + gradients["dbo"]

    gradients = {"dx": over_time(dx[::-1], n_x, x, xp=xp), "da0": da_prevt, "dWf": dWf, "dbf": dbf}
    return gradients | {"dWi": dWi, "dbi": dbi, "dWc": dWc, "dbc": dbc, "dWo": dWo, "dbo": dbo}
