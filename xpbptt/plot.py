"""Pictures, drawn with matplotlib: ``python -m pip install ".[plot]"`` in a checkout of xpbptt."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from xpbptt._arrays.host import to_numpy
from xpbptt.bptt.engines.trace import Trace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito's


def gradient_flow(trace: tuple[Trace | tuple[Trace, Trace], ...]) -> "Figure":
    """Draw the norms of the gradients inside a backward pass against time.

    A gradient that vanishes or explodes on its way back falls or rises towards the left, over
    powers of ten; in the backward direction of a bidirectional net, towards the right.

    Parameters
    ----------
    trace : tuple of Trace
        What ``net.backward(cache, dy, trace=True)`` returned beside the gradients.

    Returns
    -------
    figure : matplotlib.figure.Figure
        One panel a layer and direction, the last layer on top; save it with ``savefig``. It is not
        known to pyplot, so nothing needs to be closed.

    Raises
    ------
    ImportError
        Where matplotlib is not installed.
    TypeError
        Where `trace` is not such a tuple.

    Examples
    --------
    >>> import numpy as np, xpbptt
    >>> from xpbptt.plot import gradient_flow
    >>> net = xpbptt.LSTM(3, 16)
    >>> y, _, cache = net.forward(net.init(0), np.ones((50, 2, 3), dtype=np.float32))
    >>> _, trace = net.backward(cache, np.ones_like(y), trace=True)
    >>> figure = gradient_flow(trace)
    >>> len(figure.axes)
    1
    """
    layers = _check(trace)
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - a second to import, for this alone
    except ImportError as error:
        message = (
            'matplotlib is not installed: python -m pip install ".[plot]" in a checkout of xpbptt'
        )
        raise ImportError(message) from error
    rows, columns = len(layers), len(layers[0])
    figure = Figure(figsize=(1.5 + 4.5 * columns, 1 + 2.4 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for row, layer in zip(axes[::-1], enumerate(layers), strict=True):
        number, directions = layer
        for axis, one, arrow in zip(row, directions, ("forward", "backward"), strict=False):
            _panel(axis, one)
            direction = f", {arrow} direction" if columns > 1 else ""
            axis.set_title(f"layer {number}{direction}", loc="left", fontsize=10)
    for axis in axes[-1]:
        axis.set_xlabel("time step")
    figure.supylabel("norm of the gradient", fontsize=10)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False)
    return figure


def _check(trace: object) -> list[tuple[Trace, ...]]:
    """Return the traces of each layer, one for each direction."""
    entries = trace if isinstance(trace, tuple) and not isinstance(trace, Trace) else ()
    layers = [(entry,) if isinstance(entry, Trace) else entry for entry in entries]
    if not layers or not all(
        isinstance(layer, tuple) and all(isinstance(one, Trace) for one in layer)
        for layer in layers
    ):
        message = (
            "`trace` must be the tuple of Trace, one entry a layer, that "
            f"net.backward(cache, dy, trace=True) returns, got {trace!r:.80}"
        )
        raise TypeError(message)
    return layers


def _panel(axis: Any, trace: Trace) -> None:
    """Draw one layer and direction: the state's parts in strong lines, the gates in thin ones."""
    axis.set_yscale("log")
    for k, (name, norms) in enumerate(zip(trace.state._fields, trace.state, strict=True)):
        axis.plot(_positive(norms), color=("black", "0.55")[k % 2], linewidth=2.2, label=name)
    gates = getattr(trace.gates, "_fields", ())
    for k, (name, norms) in enumerate(zip(gates, trace.gates, strict=True)):
        axis.plot(
            _positive(norms), color=COLOURS[k % len(COLOURS)], linewidth=1.1, label=f"gate {name}"
        )
    axis.grid(visible=True, which="major", color="0.9", linewidth=0.8)
    axis.spines[["top", "right"]].set_visible(False)
    axis.margins(x=0.01)


def _positive(norms: Any) -> np.ndarray[Any, Any]:
    """Copy to the host; a zero, which has no logarithm, leaves a gap."""
    numbers = to_numpy(norms).astype(np.float64)
    return np.where(numbers > 0, numbers, math.nan)
