"""Law 1: the backward pass is the derivative over all inputs at once."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

from xpbptt.testing.checks.gradients import check_gradients
from xpbptt.testing.laws.sample import as_net, draw

EXACT = {"complex step": 1e-12, "central differences": 1e-7}


def derivative(
    net: Any,
    *,
    xp: ModuleType | None = None,
    seed: int = 0,
    steps: int | None = None,
    batch: int | None = None,
    options: dict[str, Any] | None = None,
    smooth: Callable[..., Any] | None = None,
) -> None:
    """Check the derivative in a random direction over all inputs at once, with and without a mask.

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
    options : dict, optional
        Passed on to `Net.forward`, as ``{"bptt": Segments(2)}``.
    smooth : callable, optional
        The forward step that a surrogate gradient is the derivative of; see `check_gradients`.

    Raises
    ------
    AssertionError
        Where a gradient is wrong.

    Examples
    --------
    >>> import xpbptt
    >>> xpbptt.testing.laws.derivative(xpbptt.LSTM(3, 5, bidirectional=True))
    """
    net = as_net(net, dropout=True)
    for masked in (False, True):
        of = draw(net, xp=xp, seed=seed, steps=steps, batch=batch, masked=masked)
        more = of.options() | (options or {}) | {"smooth": smooth}
        found = check_gradients(net, of.params, of.x, of.state, seed=seed, mask=of.mask, **more)
        if not found.error < EXACT[found.method]:
            message = f"derivative: off by {found.error:.1e} by {found.method}"
            raise AssertionError(message)
