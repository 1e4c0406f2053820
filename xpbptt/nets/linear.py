"""The linear readout: y = x Wᵀ + b, for arrays with any leading axes."""

import math
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Generic, NamedTuple

import numpy as np

from xpbptt._arrays import check
from xpbptt._arrays.check import Expected
from xpbptt._arrays.draw import generator, uniform
from xpbptt._arrays.namespace import standard
from xpbptt._arrays.types import Array, ArrayT, Namespace, Seed
from xpbptt.bptt.layers.layer import Gradients


class LinearParams(NamedTuple):
    """The parameters of a linear readout, with PyTorch's names and layout.

    Attributes
    ----------
    weight : array (O, I)
        From the inputs to the outputs.
    bias : array (O,)
        Added to the product.
    """

    weight: Any
    bias: Any


class LinearCache(NamedTuple, Generic[ArrayT]):
    """What `Linear.forward` keeps for `Linear.backward`.

    Attributes
    ----------
    linear : Linear
        The readout that made it.
    params : LinearParams
        The parameters.
    x : array (..., I)
        The input.
    """

    linear: "Linear"
    params: LinearParams
    x: ArrayT


@dataclass(frozen=True, repr=False)
class Linear:
    """A linear readout: its sizes and the functions that follow from them.

    It holds no arrays: parameters go in and gradients come out as `LinearParams`.

    Parameters
    ----------
    input_size, output_size : int
        The sizes I and O.

    Raises
    ------
    TypeError, ValueError
        If a size is not an int or is below 1.

    Examples
    --------
    >>> import numpy as np
    >>> import xpbptt
    >>> readout = xpbptt.Linear(5, 3)
    >>> params = readout.init(seed=0)
    >>> y, cache = readout.forward(params, np.ones((7, 2, 5), dtype=np.float32))
    >>> grads = readout.backward(cache, np.ones_like(y))
    >>> y.shape, grads.params.weight.shape, grads.x.shape
    ((7, 2, 3), (3, 5), (7, 2, 5))
    """

    input_size: int
    output_size: int

    def __post_init__(self) -> None:
        """Refuse invalid sizes."""
        check.whole("input_size", self.input_size)
        check.whole("output_size", self.output_size)

    def init(
        self,
        seed: Seed = 0,
        *,
        xp: ModuleType | None = None,
        dtype: Any = None,
        device: Any = None,
    ) -> LinearParams:
        """Draw parameters from U(-1/√I, 1/√I), as ``torch.nn.Linear`` does.

        Parameters
        ----------
        seed : int, SeedSequence or numpy.random.Generator
            Where the numbers come from: anything that ``numpy.random.default_rng`` takes. They are
            drawn on the host in float64, so the same seed gives the same weights, rounded to
            `dtype`, on every library.
        xp : namespace, optional
            The array library. Default: NumPy.
        dtype : dtype or str, optional
            A real floating-point dtype of that library, or its name. Default: float32.
        device : device, optional
            Where to put the arrays. Default: the library's default.

        Returns
        -------
        params : LinearParams
            The parameters.

        Examples
        --------
        >>> import xpbptt
        >>> xpbptt.Linear(5, 3).init(seed=0).bias.shape
        (3,)
        """
        namespace = standard(np if xp is None else xp)
        random = generator(seed)
        bound = self.input_size**-0.5
        shapes = ((self.output_size, self.input_size), (self.output_size,))
        return LinearParams(
            *(uniform(random, s, bound, xp=namespace, dtype=dtype, device=device) for s in shapes)
        )

    def forward(
        self, params: LinearParams | tuple[Any, Any], x: ArrayT
    ) -> tuple[ArrayT, LinearCache[ArrayT]]:
        """Return y = x Wᵀ + b, and what `backward` needs.

        Parameters
        ----------
        params : LinearParams
            The parameters.
        x : array (..., I)
            The input, with any leading axes; any of them may be 0.

        Returns
        -------
        y : array (..., O)
            The output.
        cache : LinearCache
            For `backward`.

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong shape, structure, dtype, library or device.
        """
        xp, checked = _check_forward(self, params, x)
        return _apply(checked, x, xp=xp), LinearCache(self, checked, x)

    def infer(self, params: LinearParams | tuple[Any, Any], x: ArrayT) -> ArrayT:
        """Return y = x Wᵀ + b and keep nothing; see `forward`.

        Parameters
        ----------
        params : LinearParams
            The parameters.
        x : array (..., I)
            The input.

        Returns
        -------
        y : array (..., O)
            The output.

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong shape, structure, dtype, library or device.
        """
        xp, checked = _check_forward(self, params, x)
        return _apply(checked, x, xp=xp)

    def backward(
        self, cache: LinearCache[ArrayT], dy: Array
    ) -> Gradients[LinearParams, ArrayT, tuple[()]]:
        """Return the gradients: dW = dyᵀ x and db = Σ dy over all leading axes, dx = dy W.

        Parameters
        ----------
        cache : LinearCache
            What `forward` returned.
        dy : array (..., O)
            The gradient of the loss by `y`.

        Returns
        -------
        grads : Gradients
            ``grads.params``, as `LinearParams`, and ``grads.x (..., I)``; ``grads.state`` is ().

        Raises
        ------
        TypeError, ValueError
            If `dy` has the wrong shape, dtype, library or device, or another readout made `cache`.
        """
        if not isinstance(cache, LinearCache):
            message = f"`cache` must be what `forward` returned, got {type(cache).__name__}"
            raise TypeError(message)
        if cache.linear != self:
            message = f"`cache` was made by {cache.linear}, but this is {self}: pass each its own"
            raise ValueError(message)
        x, weight = cache.x, cache.params.weight
        xp = check.one_namespace([("x", x), ("dy", dy)])
        check.shape("dy", dy, (*x.shape[:-1], self.output_size), f"(..., O) of {self}")
        dy_rows = _rows(dy, xp=xp)
        dparams = LinearParams(
            weight=xp.matmul(xp.matrix_transpose(dy_rows), _rows(x, xp=xp)),
            bias=xp.sum(dy_rows, axis=0),
        )
        return Gradients(dparams, xp.reshape(xp.matmul(dy_rows, weight), x.shape))

    def __repr__(self) -> str:
        """Return the call that makes this readout."""
        return f"Linear({self.input_size}, {self.output_size})"


def _check_forward(linear: Linear, params: Any, x: Array) -> tuple[Namespace, LinearParams]:
    size_in, size_out = linear.input_size, linear.output_size
    expected = LinearParams(
        Expected((size_out, size_in), f"(O, I) of {linear}"),
        Expected((size_out,), f"(O,) of {linear}"),
    )
    params, found = check.conform("params", params, expected)
    xp = check.one_namespace([("x", x), *((path, leaf) for path, leaf, _ in found)])
    check.shape("x", x, (*x.shape[:-1], size_in), f"(..., I) of {linear}")
    check.shapes(found)
    return xp, params


def _apply(params: LinearParams, x: ArrayT, *, xp: Namespace) -> ArrayT:
    y = xp.matmul(_rows(x, xp=xp), xp.matrix_transpose(params.weight))
    y += params.bias
    return xp.reshape(y, (*x.shape[:-1], y.shape[1]))  # type: ignore[no-any-return]


def _rows(array: Array, *, xp: Namespace) -> Any:
    """Merge all leading axes, so that every product is one of two matrices."""
    return xp.reshape(array, (math.prod(array.shape[:-1]), array.shape[-1]))
