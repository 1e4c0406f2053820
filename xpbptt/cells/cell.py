"""A cell: the elementwise maths of one time step, forward and derivative.

Symbols, here and in every cell: T time steps, B sequences in the batch, I inputs, H hidden units,
G gates. ``u = x W_ihᵀ + b_ih`` is the input's part of all gates and ``v = h W_hhᵀ + b_hh`` the
state's; both come split into gates, so that ``u.f + v.f`` is the forget gate before its sigmoid.
A name with a d in front is the gradient of the loss by that name.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

from xpbptt._arrays.types import Arrays, Namespace


class CellForward(Protocol):
    """One time step, elementwise."""

    def __call__(self, u: Any, v: Any, state: Any, *, xp: Namespace) -> tuple[Any, Arrays]:
        """Return the new state and the residuals, what the derivative needs beside the states.

        Residuals are arrays with a row for each sequence, (B, …).

        Parameters
        ----------
        u, v : named tuple of arrays (B, H)
            The input's and the state's part of each gate, of the cell's type `gates`. Where a gate
            has no product, `v` holds something in its place that cannot be used.
        state : named tuple of arrays (B, H)
            The state before the step, of the cell's type `state`.
        xp : namespace
            The arrays' namespace; a cell uses operators and ``tanh exp sqrt abs maximum minimum
            where`` from it.
        """


class CellBackward(Protocol):
    """The derivative of one time step, elementwise."""

    def __call__(
        self, residuals: Any, state: Any, new: Any, dnew: Any, *, xp: Namespace
    ) -> tuple[Any, Any, Any]:
        """Return ``du, dv, dstate``.

        Parameters
        ----------
        residuals : tuple of arrays
            What the forward step returned.
        state, new : named tuple of arrays (B, H)
            The states before and after the step.
        dnew : named tuple of arrays (B, H)
            The gradient arriving at `new`.
        xp : namespace
            The arrays' namespace.

        Returns
        -------
        du, dv : named tuple of arrays (B, H)
            The gradients of `u` and `v`. A cell that uses only ``u + v`` returns the same object
            for both, which is then kept once. What `dv` holds for gates without a product is not
            read; where no gate has one, `dv` may be None.
        dstate : named tuple of arrays (B, H)
            The gradient of `state` without the part that flows through `v`. Its first part
            and the one that the product reads may be None, which stands for zero.
        """


class Cell(NamedTuple):
    """The elementwise maths of a recurrence, from which everything else follows.

    A cell with parameters of its own, beside those of the two products, gives their shapes in
    `extra`. Its `forward` and `backward` then take the named tuple of them as ``extra=``, and
    `backward` returns a fourth value, the named tuple of their gradients for each sequence: for a
    parameter of shape S an array ``(B, *S)``, which is summed over batch and time.

    A net tries its cell on small arrays before the first use, and refuses one whose functions
    return anything but the following. States, gates and gradients are named tuples with the fields
    of the types below, not plain tuples, of arrays in the dtype of the arguments; residuals are a
    tuple of arrays of any dtype. A function writes into none of its arguments, nor into arrays
    that it returned earlier. Such a write is seen on NumPy and torch, and elsewhere if the cell
    also runs on NumPy.

    A cell need not multiply the state for every gate: `recurrent` names the gates that get the
    product with W_hh, which has the rows of those only. With ``recurrent=()`` there is no product,
    and the parameters have neither `weight_hh` nor `bias_hh`.

    Attributes
    ----------
    name : str
        The name that a net of this cell shows.
    gates : type
        A NamedTuple whose fields name the G gates, in the order of their rows in the weights.
    state : type
        A NamedTuple whose fields name the parts of the state; the first is the output h.
    forward, backward : callable
        The maths, see `CellForward` and `CellBackward`.
    extra : callable or None
        ``hidden_size → named tuple of shapes``. Default: no further parameters.
    recurrent : tuple of str or None
        The gates that get the product of the state with W_hh. Default: all.
    reads : str or None
        The part of the state that W_hh multiplies. Default: the first.
    side : int
        The columns K of a side input, `dt` (T, B, K) of a net's calls, which is not multiplied. The
        functions then take ``dt=``, a tuple of K arrays (B, 1), and `backward` returns as its last
        value the tuple of their gradients, (B, 1) each. Default: none.
    heads : int
        The number of groups of H / heads units that the product connects each with itself only;
        `weight_hh` is then (G·H, H / heads). Default: one.
    projection : int
        The columns P of the output, where it is a projection: h' = m W_hrᵀ, with m (B, H) what
        `forward` returns as the first part of the state. W_hr (P, H) is then the parameter
        ``extra.weight_hr`` and `weight_hh` is (G·H, P). The functions are given no first part of a
        state, and as its gradient that of m; `backward` returns None for it. Such a cell has no
        `extra` and no `side` of its own, one head, and a product that reads the output. Default: no
        projection.
    """

    name: str
    gates: Any
    state: Any
    forward: CellForward | Callable[..., tuple[Any, Arrays]]
    backward: CellBackward | Callable[..., tuple[Any, ...]]
    extra: Callable[[int], Any] | None = None
    recurrent: tuple[str, ...] | None = None
    reads: str | None = None
    side: int = 0
    heads: int = 1
    projection: int = 0


class Bound(partial[Any]):
    """A function with its first arguments; equal to the same function with equal ones."""

    def __eq__(self, other: object) -> bool:
        """Compare the functions and the arguments."""
        return isinstance(other, Bound) and (self.func, self.args) == (other.func, other.args)

    def __hash__(self) -> int:
        """Return the hash of the function and the arguments."""
        return hash((self.func, self.args))
