"""A recurrence: what the loop over time knows of a cell.

Only the state is sequential. What can be done for all T steps at once stays out of the loop:
`project` before it, `accumulate` after it, one matrix product each.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import array_api_compat

from xpbptt._arrays.dual import writable
from xpbptt._arrays.types import AnyArray, Namespace, Tree

FEW = 4  # below so many steps a copy of the weights does not pay


class Weights(NamedTuple):
    """The parameters of one layer and direction, with PyTorch's names and layout.

    Attributes
    ----------
    weight_ih : array (G·H, I)
        From the input to the gates.
    weight_hh : array (G·H, H)
        From the state to the gates; of a cell that names some gates in `recurrent`, the rows of
        those, and an empty tuple where it names none.
    bias_ih, bias_hh : array (G·H,)
        The biases of the two products.
    extra : named tuple of arrays
        The cell's own parameters; empty where it has none.
    """

    weight_ih: AnyArray
    weight_hh: AnyArray
    bias_ih: AnyArray
    bias_hh: AnyArray
    extra: Any = ()


class Recurrence(NamedTuple):
    """The wider contract, for cells whose step is more than elementwise maths.

    A net tries the functions on small arrays before the first use, as it does those of a `Cell`,
    and refuses wrong structures, shapes and dtypes, and writes into arguments.

    Attributes
    ----------
    name : str
        The name that a net of this recurrence shows.
    state : type
        A NamedTuple whose fields name the parts of the state, (B, H) each; the first is the output.
    shapes : callable
        ``input_size, hidden_size → named tuple of the parameters' shapes``, tuples of int, or None
        for a part without parameters.
    project : callable
        ``params, x (T, B, I), *, xp → sequence of T step inputs``.
    prepare : callable
        ``params, steps, *, xp → weights``, the parameters in the form that `step` takes, prepared
        for that many steps.
    step : callable
        ``weights, input, state, *, xp → new state, residuals``.
    step_backward : callable
        ``params, residuals, state, new state, gradient of the new state, *, xp → record, gradient
        of the state``; the record is a tuple of what `accumulate` needs of this step.
    accumulate : callable
        ``params, x, states, records, *, xp → gradients of params, gradient of x``, with the states
        before each step and the records as tuples of arrays (T, B, …). T may be 0.
    gates : callable
        ``first array (T, B, …) of the records → named tuple of arrays (T, B, H)``, the gradients
        of the gates, for the trace of a backward pass.
    drops : int or None
        The part of the state that recurrent dropout is of: `step` and `step_backward` take
        ``factors=``, an array (B, H) or None, by which they multiply it wherever it enters a
        product, and so does the loop before it calls `accumulate`. None where there is none.
    accumulate_each : callable or None
        As `accumulate`, with the gradients of params for each sequence, (B, …). Default:
        `accumulate` for one sequence after the other.
    side : int
        How many of the last columns of x are a side input, which `project` does not multiply.
    widths : callable or None
        ``hidden_size → the columns of each part of the state``, where they are not H. The first
        part is the output. Default: H columns for every part.
    heads : int
        The number of groups of units that W_hh connects each with itself only: a net then keeps
        `weight_hh` as (G·H, H / heads), and the functions are given the whole of it, with zeros.
        Default: one.
    """

    name: str
    state: Any
    shapes: Callable[[int, int], Tree]
    project: Callable[..., Sequence[Any]]
    prepare: Callable[..., Any]
    step: Callable[..., tuple[Any, tuple[AnyArray, ...]]]
    step_backward: Callable[..., tuple[tuple[AnyArray, ...], Any]]
    accumulate: Callable[..., tuple[Tree, AnyArray]]
    gates: Callable[[AnyArray], Any]
    drops: int | None = None
    accumulate_each: Callable[..., tuple[Tree, AnyArray]] | None = None
    side: int = 0
    widths: Callable[[int], tuple[int, ...]] | None = None
    heads: int = 1

    def parts(self, hidden_size: int) -> tuple[int, ...]:
        """Return the columns of each part of the state."""
        if self.widths is None:
            return (hidden_size,) * len(self.state._fields)
        return self.widths(hidden_size)


def join(blocks: tuple[AnyArray, ...], *, xp: Namespace) -> AnyArray:
    """Put the gates side by side, (B, G·H), in the order of the weights' rows."""
    return blocks[0] if len(blocks) == 1 else xp.concat(blocks, axis=-1)


def flat(array: AnyArray, *, xp: Namespace) -> AnyArray:
    """Make time and batch one axis, (T·B, …)."""
    steps, batch, *rest = array.shape
    return xp.reshape(array, (steps * batch, *rest))


def transposed(weight: AnyArray, steps: int, *, xp: Namespace) -> AnyArray:
    """Transpose a matrix for that many products, contiguous where the library can write.

    On NumPy with OpenBLAS the product with the contiguous transpose is up to 1.4 times as fast,
    which pays for the copy after a few steps.
    """
    if steps < FEW:
        return weight.T
    device = array_api_compat.device(weight)
    copy = xp.empty(weight.T.shape, dtype=weight.dtype, device=device)
    if not writable(copy):
        return weight.T
    copy[...] = weight.T
    return copy
