"""Which way a layer reads its sequence: the one mistake that no gradient can show."""

from typing import Any

import array_api_compat

from xpbptt._arrays import check as _check
from xpbptt._arrays.types import AnyArray, Tree
from xpbptt.testing.checks.layer import Differentiable, GradientError, Inputs, forward


def check_causality(
    layer: Differentiable,
    params: Tree,
    x: AnyArray,
    state: Tree = None,
    *,
    future: slice = slice(0, 0),
    **options: Any,
) -> None:
    """Check which way a layer reads its sequence.

    The output at the first step must not depend on later inputs, nor, for the features of a
    reversed layer, the output at the last step on earlier ones.

    Parameters
    ----------
    layer : object
        As for `check_gradients`.
    params : tree of arrays
        The parameters.
    x : array (T, B, I)
        The input, with T of at least 2.
    state : tree of arrays, optional
        The initial state.
    future : slice
        The features of y that read the sequence from its end; the others read from its beginning.
    **options : dict
        Passed on to ``layer.forward``.

    Raises
    ------
    GradientError
        Where an output depends on what it must not depend on.

    Examples
    --------
    >>> import numpy as np, xpbptt
    >>> from xpbptt.testing import check_causality
    >>> net = xpbptt.LSTM(3, 5, bidirectional=True)
    >>> x = np.random.default_rng(0).normal(size=(7, 2, 3))
    >>> check_causality(net, net.init(0, dtype=np.float64), x, future=slice(5, 10))
    """
    xp = _check.array_namespace("x", x)
    steps = x.shape[0]
    if steps < 2:  # noqa: PLR2004 - one step has no direction
        message = f"`x` must have at least 2 time steps, got {steps}"
        raise ValueError(message)

    def outputs(x: AnyArray) -> AnyArray:
        return forward(layer, Inputs(params, x, state), options)[0]

    shift = xp.ones_like(x[:1, ...])
    y = outputs(x)
    late = outputs(xp.concat((x[:-1, ...], x[-1:, ...] + shift), axis=0)) == y
    early = outputs(xp.concat((x[:1, ...] + shift, x[1:, ...]), axis=0)) == y
    features = range(y.shape[-1])
    reads_future = [k in features[future] for k in features]
    _check_same("past", "later", late[0, ...], [not k for k in reads_future], xp=xp)
    _check_same("future", "earlier", early[-1, ...], reads_future, xp=xp)


def _check_same(tense: str, other: str, same: AnyArray, features: list[bool], *, xp: Any) -> None:
    """Check that the outputs are the same in these features."""
    chosen = xp.asarray(features, device=array_api_compat.device(same))
    if not bool(xp.all(same | ~chosen)):
        message = f"wrong direction: features that read the {tense} depend on {other} inputs"
        raise GradientError(message)


def check_net(layer: Any, inputs: Inputs, options: dict[str, Any]) -> None:
    """Check the direction where it is known: above one bidirectional layer everything mixes."""
    if layer.bidirectional and layer.num_layers > 1:
        return
    whole = getattr(layer, "output_size", 2 * layer.hidden_size)  # of both directions
    future = slice(whole // 2, whole) if layer.bidirectional else slice(0, 0)
    check_causality(layer, *inputs, future=future, **options)
