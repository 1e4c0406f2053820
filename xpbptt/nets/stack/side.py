"""A side input of a net's calls: checked, put beside x, and its gradient taken from beside it."""

from typing import Any, NamedTuple

from xpbptt._arrays import check
from xpbptt._arrays.types import AnyArray, Namespace, Tree
from xpbptt.bptt import Gradients, StartGradients
from xpbptt.bptt.layers.states import apart
from xpbptt.nets.stack.stack import Stack


class SideGradients(NamedTuple):
    """The gradients of a net whose cell has a side input.

    Attributes
    ----------
    params : tree of arrays
        The gradient of each parameter, in the tree of the parameters.
    x : array
        The gradient of the input.
    state : tree of arrays
        The gradient of the state before the first step.
    dt : array
        The gradient of the side input, in its shape.
    initial : tree of arrays or None
        The gradient of the state that resets restore, where `forward` was given one.
    """

    params: Tree
    x: AnyArray
    state: Tree
    dt: AnyArray
    initial: Tree = None


def beside(net: Stack, x: AnyArray, dt: AnyArray | None, *, xp: Namespace) -> AnyArray:
    """Return the input with the columns of the side input beside it; x itself where there is none.

    Raises
    ------
    TypeError, ValueError
        Where `dt` is missing, not wanted, of another shape, dtype, library or device.
    """
    columns = net.recurrence.side
    if not columns:
        if dt is not None:
            message = f"`dt` is given, but {net} has no side input"
            raise ValueError(message)
        return x
    *lead, _ = x.shape
    axes = "(T, B)" if len(lead) > 1 else "(B,)"
    if dt is None:
        message = f"`dt` is needed by {net}: an array {axes}, or with {columns} columns"
        raise ValueError(message)
    check.one_namespace([("x", x), ("dt", dt)])
    came = tuple(dt.shape)
    if came == tuple(lead) and columns == 1:
        dt = dt[..., None]
    elif came != (*lead, columns):
        one = f"{axes} = {tuple(lead)} or " if columns == 1 else ""
        message = f"`dt` has shape {came}, expected {one}{(*lead, columns)}"
        raise ValueError(message)
    return xp.concat((x, dt), axis=-1)


def parted(net: Stack, grads: Gradients, *, started: bool, flat: bool) -> Any:
    """Return the gradients with those of the side input and of `initial` apart, if there are any.

    Parameters
    ----------
    net : Stack
        The net.
    grads : Gradients
        What the layers returned: the side input's columns beside those of x.
    started : bool
        Whether resets restore another state than that before the first step.
    flat : bool
        Whether the side input had no axis of its own.
    """
    whole: Any = grads
    if started:
        whole = StartGradients(grads.params, grads.x, *apart(grads.state))
    columns = net.recurrence.side
    if not columns:
        return whole
    dx, dt = grads.x[..., :-columns], grads.x[..., -columns:]
    initial = whole.initial if started else None
    return SideGradients(whole.params, dx, whole.state, dt[..., 0] if flat else dt, initial)
