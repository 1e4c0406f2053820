"""The eight functions of "Building your Recurrent Neural Network - Step by Step".

That notebook of the Deep Learning Specialization builds a recurrent net and an LSTM forward and
backward, one time step (a cell) and then a sequence of them. Here are its functions with its
names, layouts and dictionaries, one line an equation, for arrays of any library. They are what a
student reads, and what the fast nets of this package are tested against.

Symbols
-------
n_x, n_a, n_y
    Sizes of the input, the hidden state and the prediction, at least 1.
m, T_x
    Numbers of examples and of time steps, which may be 0.
x (n_x, m, T_x), xt (n_x, m)
    The input, and that of one step.
a, c (n_a, m, T_x)
    Hidden state and memory; before a step ``a_prev``, ``c_prev``, after it ``a_next``, ``c_next``.
y (n_y, m, T_x)
    Prediction, y = softmax(Wya a + by) over the n_y entries of each example; LSTM: Wy, by.
ft, it, cct, ot (n_a, m)
    Forget gate Γf, update gate Γi, candidate c̃ and output gate Γo.
d...
    Gradient of one number, the loss, by what follows; ``dgamma_f`` by the argument of the sigmoid
    that gives ``ft``, ``dpcct`` by the argument of the tanh that gives ``cct``.

``parameters`` is a dictionary. For the RNN: ``Wax (n_a, n_x)``, ``Waa (n_a, n_a)``,
``Wya (n_y, n_a)``, ``ba (n_a, 1)``, ``by (n_y, 1)``. For the LSTM: ``Wf``, ``Wi``, ``Wc``, ``Wo``
(n_a, n_a + n_x), which act on the rows of [a_prev; xt], their biases ``bf``, ``bi``, ``bc``,
``bo`` (n_a, 1), and ``Wy (n_y, n_a)``, ``by (n_y, 1)``.

The numbers in comments are those of the notebook's later editions: (1) to (6) LSTM forward, (0) to
(5) RNN backward, (7) to (21) LSTM backward. The first edition gave the gradients of the biases no
numbers, here (15) to (18), and called (19) to (21) (15) to (17).

The backward functions want the whole gradient by ``a``, what comes through ``y`` included, and so
give none by ``Wya``, ``Wy`` and ``by``. All gradients are sums over the examples, not means.

Where this differs from the published notebook
----------------------------------------------
The notebook's text and the solutions published for it have these slips. Here is the mathematics.

- ``dWax += dWax`` and ``dWaa += dWaa`` in `rnn_backward` double zeros. A gradient by a weight used
  in every step is the sum of the steps' gradients.
- Lines left from the template, ``dit = None`` and its like, overwrite computed gate gradients.
- ``dWc`` is computed from the gradient of the forget gate; (13) takes that of the candidate.
- ``dbi`` and ``dbc`` are summed from the wrong gates; (16) and (17) take each its own.
- ``dxt`` is computed with ``W[:, :n_a]``, the columns of a_prev; (21)
  takes those of xt, ``W[:, n_a:]``.
- `lstm_backward` never carries ``da_prev`` and ``dc_prev`` back to the step before. The gradient
  at a step is what arrives there from the loss plus what its successor hands back.
- Equations (8), (9) and (10) lack a bracket, so that the derivative of the activation multiplies
  only the second of two terms. It multiplies both.
- Equation (8) has a stray factor c̃. The derivative of c by c̃ is Γi alone.
- Equation (8) ends in 1 - tanh(c̃)². c̃ is a tanh already, so the derivative is 1 - c̃².
- Equation (10) says c̃_prev where the forget gate multiplies c_prev.

References
----------
.. [1] A. Ng, K. Katanforoosh and Y. Bensouda Mourri, "Sequence Models", Deep Learning
   Specialization, week 1, "Building your Recurrent Neural Network - Step by Step", 2018.
.. [2] S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9, 1997.
.. [3] F. A. Gers, J. Schmidhuber and F. Cummins, "Learning to forget: continual prediction with
   LSTM", Neural Computation 12, 2000.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import array_api_compat

from xpbptt import _notebook

Array = Any
Namespace = Any
Parameters = Mapping[str, Array]
Gradients = dict[str, Array]
Cache = tuple[Any, ...]
Caches = tuple[list[Cache], Array]


def rnn_cell_forward(
    xt: Array, a_prev: Array, parameters: Parameters
) -> tuple[Array, Array, Cache]:
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
    xp = _notebook.check_arrays(
        *_notebook.check_parameters("parameters", parameters, _notebook.RNN),
        ("xt", xt, "n_x, m"),
        ("a_prev", a_prev, "n_a, m"),
    )
    return _rnn_cell_forward(xt, a_prev, parameters, xp=xp)


def _rnn_cell_forward(
    xt: Array, a_prev: Array, parameters: Parameters, *, xp: Namespace
) -> tuple[Array, Array, Cache]:
    Wax, Waa, ba = parameters["Wax"], parameters["Waa"], parameters["ba"]
    Wya, by = parameters["Wya"], parameters["by"]

    a_next = xp.tanh(Wax @ xt + Waa @ a_prev + ba)
    yt_pred = _softmax(Wya @ a_next + by, xp=xp)

    return a_next, yt_pred, (a_next, a_prev, xt, parameters)


def rnn_forward(x: Array, a0: Array, parameters: Parameters) -> tuple[Array, Array, Caches]:
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
    xp = _notebook.check_arrays(
        *_notebook.check_parameters("parameters", parameters, _notebook.RNN),
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
        _over_time(a, a0.shape[0], x, xp=xp),
        _over_time(y_pred, parameters["by"].shape[0], x, xp=xp),
        (caches, x),
    )


def rnn_cell_backward(da_next: Array, cache: Cache) -> Gradients:
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
    xp = _notebook.check_arrays(
        *_notebook.check_cache("cache", cache, _notebook.RNN), ("da_next", da_next, "n_a, m")
    )
    return _rnn_cell_backward(da_next, cache, xp=xp)


def _rnn_cell_backward(da_next: Array, cache: Cache, *, xp: Namespace) -> Gradients:
    a_next, a_prev, xt, parameters = cache
    Wax, Waa = parameters["Wax"], parameters["Waa"]

    dtanh = da_next * (1 - a_next**2)  # (0)
    dWax = dtanh @ xt.T  # (1)
    dWaa = dtanh @ a_prev.T  # (2)
    dba = xp.sum(dtanh, axis=1, keepdims=True)  # (3)
    dxt = Wax.T @ dtanh  # (4)
    da_prev = Waa.T @ dtanh  # (5)

    return {"dxt": dxt, "da_prev": da_prev, "dWax": dWax, "dWaa": dWaa, "dba": dba}


def rnn_backward(da: Array, caches: Caches) -> Gradients:
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
    xp = _notebook.check_sequence(da, caches, _notebook.RNN)
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

    dx = _over_time(dx[::-1], n_x, x, xp=xp)
    return {"dx": dx, "da0": da_prevt, "dWax": dWax, "dWaa": dWaa, "dba": dba}


def lstm_cell_forward(
    xt: Array, a_prev: Array, c_prev: Array, parameters: Parameters
) -> tuple[Array, Array, Array, Cache]:
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
    xp = _notebook.check_arrays(
        *_notebook.check_parameters("parameters", parameters, _notebook.LSTM),
        ("xt", xt, "n_x, m"),
        ("a_prev", a_prev, "n_a, m"),
        ("c_prev", c_prev, "n_a, m"),
    )
    return _lstm_cell_forward(xt, a_prev, c_prev, parameters, xp=xp)


def _lstm_cell_forward(
    xt: Array, a_prev: Array, c_prev: Array, parameters: Parameters, *, xp: Namespace
) -> tuple[Array, Array, Array, Cache]:
    Wf, Wi, Wc, Wo = (parameters[key] for key in ("Wf", "Wi", "Wc", "Wo"))
    bf, bi, bc, bo = (parameters[key] for key in ("bf", "bi", "bc", "bo"))
    Wy, by = parameters["Wy"], parameters["by"]
    concat = xp.concat([a_prev, xt], axis=0)

    ft = _sigmoid(Wf @ concat + bf, xp=xp)  # (1)
    it = _sigmoid(Wi @ concat + bi, xp=xp)  # (2)
    cct = xp.tanh(Wc @ concat + bc)  # (3)
    c_next = ft * c_prev + it * cct  # (4)
    ot = _sigmoid(Wo @ concat + bo, xp=xp)  # (5)
    a_next = ot * xp.tanh(c_next)  # (6)
    yt_pred = _softmax(Wy @ a_next + by, xp=xp)

    cache = (a_next, c_next, a_prev, c_prev, ft, it, cct, ot, xt, parameters)
    return a_next, c_next, yt_pred, cache


def lstm_forward(x: Array, a0: Array, parameters: Parameters) -> tuple[Array, Array, Array, Caches]:
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
    xp = _notebook.check_arrays(
        *_notebook.check_parameters("parameters", parameters, _notebook.LSTM),
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
        _over_time(a, a0.shape[0], x, xp=xp),
        _over_time(y, parameters["by"].shape[0], x, xp=xp),
        _over_time(c, a0.shape[0], x, xp=xp),
        (caches, x),
    )


def lstm_cell_backward(da_next: Array, dc_next: Array, cache: Cache) -> Gradients:
    """Go back through one step of the LSTM.

    Parameters
    ----------
    da_next, dc_next : array (n_a, m)
        Gradient by the hidden state and by the memory after the step. `dc_next` is what comes by
        other ways than this step's hidden state.
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
    xp = _notebook.check_arrays(
        *_notebook.check_cache("cache", cache, _notebook.LSTM),
        ("da_next", da_next, "n_a, m"),
        ("dc_next", dc_next, "n_a, m"),
    )
    return _lstm_cell_backward(da_next, dc_next, cache, xp=xp)


def _lstm_cell_backward(
    da_next: Array, dc_next: Array, cache: Cache, *, xp: Namespace
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


def lstm_backward(da: Array, caches: Caches) -> Gradients:
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
    xp = _notebook.check_sequence(da, caches, _notebook.LSTM)
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

    gradients = {"dx": _over_time(dx[::-1], n_x, x, xp=xp), "da0": da_prevt, "dWf": dWf, "dbf": dbf}
    return gradients | {"dWi": dWi, "dbi": dbi, "dWc": dWc, "dbc": dbc, "dWo": dWo, "dbo": dbo}


def _sigmoid(z: Array, *, xp: Namespace) -> Array:
    """Return 1 / (1 + exp(-z)), for z < 0 as exp(z) / (1 + exp(z)): small values stay accurate."""
    is_complex = xp.isdtype(z.dtype, "complex floating")  # as for a complex step
    negative = (xp.real(z) if is_complex else z) < 0
    e_z = xp.exp(xp.where(negative, z, -z))  # does not overflow
    return xp.where(negative, e_z, xp.ones_like(e_z)) / (1 + e_z)


def _softmax(z: Array, *, xp: Namespace) -> Array:
    """Return exp(z) / Σ exp(z) over the first axis; the maximum is taken off against overflow."""
    e_z = xp.exp(z - xp.max(z, axis=0, keepdims=True))
    return e_z / xp.sum(e_z, axis=0, keepdims=True)


def _over_time(steps: list[Array], n: int, x: Array, *, xp: Namespace) -> Array:
    """Return arrays (n, m), one a step, as one (n, m, T)."""
    shape = (n, x.shape[1], len(steps))
    array = xp.empty(shape, dtype=x.dtype, device=array_api_compat.device(x))
    if steps and not array_api_compat.is_writeable_array(array):  # JAX
        return xp.stack(steps, axis=2)
    for t, step in enumerate(steps):  # to stack many, CuPy copies a table from the host
        array[:, :, t] = step
    return array
