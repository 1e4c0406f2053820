"""Whether a backward pass is the derivative of its forward pass.

A comparison of shapes proves nothing about a gradient: the backward pass is compared with a
derivative of the forward pass in a random direction over all inputs at once.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import array_api_compat
import numpy as np

from xpbptt._arrays import check as _check
from xpbptt._arrays.tree import leaves, map_leaves
from xpbptt._arrays.types import AnyArray, Tree
from xpbptt.cells.cell import Cell
from xpbptt.testing.checks.causality import check_net
from xpbptt.testing.checks.layer import Differentiable, GradientError, Inputs, forward

COMPLEX_STEP = 1e-30  # no subtraction follows, so it may be as small as it likes
CENTRAL_STEPS = (1e-6, 1e-7, 1e-8)  # shorter ones where a kink, as of relu, lies in between
TOLERANCE = {"complex step": 1e-10, "central differences": 1e-6}
AGREEMENT = 1e-5  # of the two methods, or the complex step met an operation that is not analytic


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


def check_gradients(
    layer: Differentiable,
    params: Tree,
    x: AnyArray,
    state: Tree = None,
    *,
    seed: int = 0,
    smooth: Callable[..., Any] | None = None,
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
    smooth : callable, optional
        For a net of a `Cell` whose `backward` has a surrogate in place of a derivative: the forward
        step whose derivative that is. It takes and returns what `forward` of the cell does, and
        takes its place in the check.
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
        Where the arrays are not float64, in which alone the comparison is sharp, or `smooth` is
        given and `layer` is no net of a `Cell`.

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
    if smooth is not None:
        layer = _smoothed(layer, smooth)
    _check_double(Inputs(params, x, state))
    random = np.random.default_rng(seed)
    result = forward(layer, Inputs(params, x, state), options)
    *outputs, cache = result
    if len(outputs) > 1 and state is None:
        state = _normal_like(outputs[1], random)
        *outputs, cache = forward(layer, Inputs(params, x, state), options)
    inputs = Inputs(params, x, state)
    xp = _check_double(inputs)

    upstream = _normal_like(tuple(outputs), random)
    direction = _normal_like(inputs, random)
    layer.backward(cache, *upstream)  # a cache serves more than once: the second time counts
    grads = layer.backward(cache, *upstream)
    gradient = Inputs(grads.params, grads.x, grads.state if len(outputs) > 1 else None)
    for name, grad, like in zip(Inputs._fields, gradient, inputs, strict=True):
        _check.same_structure(f"grads.{name}", grad, name, like)

    def function(*inputs: Tree) -> AnyArray:
        """Return the inner product of the outputs and the upstream gradient."""
        *outputs, _ = forward(layer, Inputs(*inputs), options)
        return _inner(upstream, tuple(outputs), xp=xp)

    method, expected, scale = _derivative(function, inputs, direction, xp=xp)
    found = float(_inner(gradient, direction, xp=xp))
    error = abs(found - expected) / scale
    if not error <= TOLERANCE[method]:
        raise GradientError(_diagnosis(function, inputs, gradient, direction, error, xp=xp))
    if hasattr(layer, "bidirectional") and hasattr(layer, "hidden_size") and x.shape[0] > 1:
        check_net(layer, inputs, options)
    return GradientCheck(method, error)


def _smoothed(layer: Any, smooth: Callable[..., Any]) -> Any:
    """Return a net with another forward step."""
    if not isinstance(getattr(layer, "cell", None), Cell):
        message = f"`smooth` is for a net of a Cell, got {layer!r}"
        raise TypeError(message)
    return replace(layer, cell=layer.cell._replace(forward=smooth))


def _derivative(
    function: Callable[..., AnyArray], inputs: Tree, direction: Tree, *, xp: Any
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
    function: Callable[..., AnyArray],
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
    def draw(leaf: AnyArray) -> AnyArray:
        xp = array_api_compat.array_namespace(leaf)
        numbers = random.standard_normal(leaf.shape)
        return xp.asarray(numbers, dtype=leaf.dtype, device=array_api_compat.device(leaf))

    return map_leaves(draw, tree)


def _moved(tree: Tree, direction: Tree, step: float) -> Tree:
    return map_leaves(lambda leaf, along: leaf + step * along, tree, direction)


def _complex(tree: Tree, direction: Tree, *, xp: Any) -> Tree:
    def move(leaf: AnyArray, along: AnyArray) -> AnyArray:
        return xp.astype(leaf, xp.complex128) + COMPLEX_STEP * 1j * xp.astype(along, xp.complex128)

    return map_leaves(move, tree, direction)


def _inner(left: Tree, right: Tree, *, xp: Any) -> AnyArray:
    pairs = zip(leaves(left), leaves(right), strict=True)
    return sum(xp.sum(b * a) for (_, a), (_, b) in pairs)
