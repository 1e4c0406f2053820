"""Law 2: the backward pass is linear in the gradients that it is given."""

from types import ModuleType
from typing import Any

from xpbptt._arrays.tree import map_leaves
from xpbptt.testing.laws.compare import same
from xpbptt.testing.laws.sample import as_net, draw


def linearity(
    net: Any,
    *,
    xp: ModuleType | None = None,
    seed: int = 0,
    steps: int | None = None,
    batch: int | None = None,
) -> None:
    """Check that ``backward`` is linear in ``(dy, dstate)``, and zero where they are.

    Without ``dstate`` it is as with zeros, and so is the forward pass without a state.

    Parameters
    ----------
    net : Net, Cell or Recurrence
        What is checked; a cell as a net of one layer.
    xp : namespace, optional
        The array library. Default: NumPy.
    seed : int
        Where all numbers come from.
    steps, batch : int, optional
        The sizes T and B. Default: small, and different from all others.

    Raises
    ------
    AssertionError
        Where the law does not hold; the message names the array and the difference.

    Examples
    --------
    >>> import xpbptt
    >>> xpbptt.testing.laws.linearity(xpbptt.GRU(3, 5, num_layers=2))
    """
    net = as_net(net, dropout=True)
    for masked in (False, True):
        of, other = (
            draw(net, xp=xp, seed=each, steps=steps, batch=batch, masked=masked)
            for each in (seed, seed + 1)
        )
        xp_, (_, _, cache) = of.xp, of.forward()
        one, two = (net.backward(cache, each.dy, each.dstate) for each in (of, other))
        upstream = map_leaves(
            lambda a, b: 2 * a - 3 * b, (of.dy, of.dstate), (other.dy, other.dstate)
        )
        both = net.backward(cache, *upstream)
        expected = map_leaves(lambda a, b: 2 * a - 3 * b, one, two)
        expected = map_leaves(xp_.asarray, expected)  # NumPy makes a scalar of an array ()
        same("linearity", {"grads": both}, {"grads": expected}, 1e-11)

        nothing = map_leaves(xp_.zeros_like, (of.dy, of.dstate))
        none = map_leaves(xp_.zeros_like, one)
        found = net.backward(cache, *nothing)
        same("zero upstream", {"grads": found}, {"grads": none}, 0)

        without, zeros = net.backward(cache, of.dy), net.backward(cache, of.dy, nothing[1])
        same("no `dstate` is zeros", {"grads": without}, {"grads": zeros}, 0)
        start = of._replace(state=map_leaves(xp_.zeros_like, of.state)).train()
        same("no `state` is zeros", of._replace(state=None).train(), start, 0)
