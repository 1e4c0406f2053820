"""Checks of hand-written derivatives, for this library's nets and for anybody's own.

A comparison of shapes proves nothing about a gradient. `check_gradients` compares the backward
pass with a derivative of the forward pass in a random direction over all inputs at once;
`check_causality` sees the one kind of mistake that no gradient can show, a layer that reads its
sequence in the wrong direction.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import array_api_compat
import numpy as np

from xpbptt._arrays import check as _check
from xpbptt._arrays.tree import leaves, map_leaves

Array = Any
Tree = Any

COMPLEX_STEP = 1e-30  # no subtraction follows, so it may be as small as it likes
CENTRAL_STEPS = (1e-6, 1e-7, 1e-8)  # shorter ones where a kink, as of relu, lies in between
TOLERANCE = {"complex step": 1e-10, "central differences": 1e-6}
AGREEMENT = 1e-5  # of the two methods, or the complex step met an operation that is not analytic


class Differentiable(Protocol):
    """What can be checked: a forward pass and its backward pass."""

    @property
    def forward(self) -> Callable[..., Any]:
        """The forward pass."""

    @property
    def backward(self) -> Callable[..., Any]:
        """The backward pass."""


class GradientError(AssertionError):
    """A backward pass that is not the derivative of its forward pass."""


class GradientCheck(NamedTuple):
    """What a successful check measured.

    Attributes
    ----------
    method : {"complex step", "central differences"}
        How the reference was computed.
    error : float
        The difference from it, relative to the size of the derivative.
    """

    method: str
    error: float


class Inputs(NamedTuple):
    """Everything that a forward pass can be differentiated by."""

    params: Tree
    x: Array
    state: Tree


def check_gradients(
    layer: Differentiable,
    params: Tree,
    x: Array,
    state: Tree = None,
    *,
    seed: int = 0,
    **options: Any,
) -> GradientCheck:
    """Check a backward pass against the derivative of its forward pass.

    For random upstream gradients d and a random direction v over all inputs at once, d·(J v) must
    equal (Jᵀ d)·v, with J v from the forward pass alone: by the complex step [1]_ if every
    operation takes complex numbers, otherwise by central differences. Sizes should be pairwise
    distinct, or a transposed matrix goes unseen. Where `layer` has the attributes of a `Net`,
    `check_causality` follows.

    Parameters
    ----------
    layer : object
        Anything with ``forward(params, x, state)``, returning ``y, state, cache``, and
        ``backward(cache, dy, dstate)``, returning `Gradients`: a `Net`, or your own. Without a
        state: ``forward(params, x)`` returning ``y, cache``, and ``backward(cache, dy)``.
    params : tree of float64 arrays
        The parameters.
    x : float64 array
        The input.
    state : tree of float64 arrays, optional
        The initial state. Default: drawn at random, for a layer that has one.
    seed : int
        Of the random directions.
    **options : dict
        Passed on to ``layer.forward``.

    Returns
    -------
    check : GradientCheck
        The method and the error.

    Raises
    ------
    GradientError
        Where a gradient is wrong; the message says of which input and by how much.
    TypeError
        Where the arrays are not float64, in which alone the comparison is sharp.

    References
    ----------
    .. [1] W. Squire and G. Trapp, "Using complex variables to estimate derivatives of real
       functions", SIAM Review 40, 1998.

    Examples
    --------
    >>> import numpy as np, xpbptt
    >>> from xpbptt.testing import check_gradients
    >>> net = xpbptt.GRU(3, 5, bidirectional=True)
    >>> params = net.init(0, dtype=np.float64)
    >>> x = np.random.default_rng(0).normal(size=(7, 2, 3))
    >>> check_gradients(net, params, x).method
    'complex step'
    """
    if any(isinstance(option, np.random.Generator) for option in options.values()):
        message = "`options` must hold seeds, no generator, which draws anew in each forward pass"
        raise TypeError(message)
    _check_double(Inputs(params, x, state))
    random = np.random.default_rng(seed)
    result = _forward(layer, Inputs(params, x, state), options)
    *outputs, cache = result
    if len(outputs) > 1 and state is None:
        state = _normal_like(outputs[1], random)
        *outputs, cache = _forward(layer, Inputs(params, x, state), options)
    inputs = Inputs(params, x, state)
    xp = _check_double(inputs)

    upstream = _normal_like(tuple(outputs), random)
    direction = _normal_like(inputs, random)
    layer.backward(cache, *upstream)  # a cache serves more than once: the second time counts
    grads = layer.backward(cache, *upstream)
    gradient = Inputs(grads.params, grads.x, grads.state if len(outputs) > 1 else None)
    for name, grad, like in zip(Inputs._fields, gradient, inputs, strict=True):
        _check.same_structure(f"grads.{name}", grad, name, like)

    def function(*inputs: Tree) -> Array:
        """Return the inner product of the outputs and the upstream gradient."""
        *outputs, _ = _forward(layer, Inputs(*inputs), options)
        return _inner(upstream, tuple(outputs), xp=xp)

    method, expected, scale = _derivative(function, inputs, direction, xp=xp)
    found = float(_inner(gradient, direction, xp=xp))
    error = abs(found - expected) / scale
    if not error <= TOLERANCE[method]:
        raise GradientError(_diagnosis(function, inputs, gradient, direction, error, xp=xp))
    if hasattr(layer, "bidirectional") and hasattr(layer, "hidden_size") and x.shape[0] > 1:
        _check_net_causality(layer, inputs, options)
    return GradientCheck(method, error)


def check_causality(
    layer: Differentiable,
    params: Tree,
    x: Array,
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

    def outputs(x: Array) -> Array:
        return _forward(layer, Inputs(params, x, state), options)[0]

    shift = xp.ones_like(x[:1, ...])
    y = outputs(x)
    late = outputs(xp.concat((x[:-1, ...], x[-1:, ...] + shift), axis=0)) == y
    early = outputs(xp.concat((x[:1, ...] + shift, x[1:, ...]), axis=0)) == y
    features = range(y.shape[-1])
    reads_future = [k in features[future] for k in features]
    _check_same("past", "later", late[0, ...], [not k for k in reads_future], xp=xp)
    _check_same("future", "earlier", early[-1, ...], reads_future, xp=xp)


def _check_same(tense: str, other: str, same: Array, features: list[bool], *, xp: Any) -> None:
    """Check that the outputs are the same in these features."""
    chosen = xp.asarray(features, device=array_api_compat.device(same))
    if not bool(xp.all(same | ~chosen)):
        message = f"wrong direction: features that read the {tense} depend on {other} inputs"
        raise GradientError(message)


def _check_net_causality(layer: Any, inputs: Inputs, options: dict[str, Any]) -> None:
    """Check the direction where it is known: above one bidirectional layer everything mixes."""
    if layer.bidirectional and layer.num_layers > 1:
        return
    size = layer.hidden_size
    future = slice(size, 2 * size) if layer.bidirectional else slice(0, 0)
    check_causality(layer, *inputs, future=future, **options)


def _forward(layer: Any, inputs: Inputs, options: dict[str, Any]) -> Any:
    params, x, state = inputs
    if state is None:
        return layer.forward(params, x, **options)
    return layer.forward(params, x, state, **options)


def _derivative(
    function: Callable[..., Array], inputs: Tree, direction: Tree, *, xp: Any
) -> tuple[str, float, float]:
    """Return the method, the derivative of `function` along `direction`, and its scale."""
    try:
        moved = function(*_complex(inputs, direction, xp=xp))
        exact = float(xp.imag(moved)) / COMPLEX_STEP
    except (TypeError, ValueError, RuntimeError):
        exact = math.nan  # an operation refused complex numbers
    before = math.nan
    for step in CENTRAL_STEPS:
        forth = float(function(*_moved(inputs, direction, step)))
        back = float(function(*_moved(inputs, direction, -step)))
        central = (forth - back) / (2 * step)
        scale = max(abs(central), 1e-3 * max(abs(forth), abs(back)), 1e-12)
        if abs(exact - central) <= AGREEMENT * scale:
            return "complex step", exact, scale
        if abs(central - before) <= AGREEMENT * scale:
            return "central differences", before, scale
        before = central
    return "central differences", central, scale


def _diagnosis(
    function: Callable[..., Array],
    inputs: Inputs,
    gradient: Tree,
    direction: Tree,
    error: float,
    *,
    xp: Any,
) -> str:
    """Say which inputs' gradients are wrong: the same test again, one input at a time."""
    lines = []
    grads = [leaf for tree in gradient for _, leaf in leaves(tree)]
    names = [n for f, tree in zip(Inputs._fields, inputs, strict=True) for n, _ in leaves(tree, f)]
    for position, (name, grad) in enumerate(zip(names, grads, strict=True)):
        count = iter(range(len(names)))
        alone = map_leaves(
            lambda leaf: leaf if next(count) == position else xp.zeros_like(leaf),  # noqa: B023
            direction,
        )
        method, expected, scale = _derivative(function, inputs, alone, xp=xp)
        found = float(_inner(grad, [leaf for _, leaf in leaves(direction)][position], xp=xp))
        off = abs(found - expected) / scale
        if not off <= TOLERANCE[method]:
            lines.append(
                f"  {name}: the derivative is {expected:.9g} by {method}, "
                f"the backward pass gives {found:.9g} (off by {off:.1e})"
            )
    detail = "\n".join(lines) or "  no single input stands out"
    return f"the gradients are off by {error:.1e} along a random direction:\n{detail}"


def _check_double(inputs: Inputs) -> Any:
    named = [n for f, tree in zip(Inputs._fields, inputs, strict=True) for n in leaves(tree, f)]
    xp = _check.one_namespace(named)
    if inputs.x.dtype != xp.float64:
        message = f"`x` and all arrays must be float64 for a sharp check, got {inputs.x.dtype}"
        raise TypeError(message)
    return xp


def _normal_like(tree: Tree, random: np.random.Generator) -> Tree:
    def draw(leaf: Array) -> Array:
        xp = array_api_compat.array_namespace(leaf)
        numbers = random.standard_normal(leaf.shape)
        return xp.asarray(numbers, dtype=leaf.dtype, device=array_api_compat.device(leaf))

    return map_leaves(draw, tree)


def _moved(tree: Tree, direction: Tree, step: float) -> Tree:
    return map_leaves(lambda leaf, along: leaf + step * along, tree, direction)


def _complex(tree: Tree, direction: Tree, *, xp: Any) -> Tree:
    def move(leaf: Array, along: Array) -> Array:
        return xp.astype(leaf, xp.complex128) + COMPLEX_STEP * 1j * xp.astype(along, xp.complex128)

    return map_leaves(move, tree, direction)


def _inner(left: Tree, right: Tree, *, xp: Any) -> Array:
    pairs = zip(leaves(left), leaves(right), strict=True)
    return sum(xp.sum(b * a) for (_, a), (_, b) in pairs)
