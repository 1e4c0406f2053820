"""Law 4: which way a layer reads its sequence."""

from types import ModuleType
from typing import Any

from xpbptt._arrays.types import Tree
from xpbptt.bptt import KeepAll, Layer, Run, Watch, reverse, unroll
from xpbptt.testing.checks.causality import check_causality
from xpbptt.testing.laws.compare import LawError, same
from xpbptt.testing.laws.sample import UNASKED, Sample, as_net, draw


def direction(
    net: Any,
    *,
    xp: ModuleType | None = None,
    seed: int = 0,
    steps: int | None = None,
    batch: int | None = None,
) -> None:
    """Check that reversing twice changes nothing, and what the first and the last output ignore.

    ``y[0]`` of a net in one direction ignores ``x[1:]``, and so do the forward features of a
    bidirectional layer; ``y[0]`` of the reversed layer does not. A bidirectional layer is each of
    its directions alone.

    Parameters
    ----------
    net : Net, Cell or Recurrence
        What is checked; a cell as a net of one layer.
    xp : namespace, optional
        The array library. Default: NumPy.
    seed : int
        Where all numbers come from.
    steps, batch : int, optional
        The sizes T and B, T at least 2. Default: small, and different from all others.

    Raises
    ------
    AssertionError
        Where the law does not hold.

    Examples
    --------
    >>> import xpbptt
    >>> xpbptt.testing.laws.direction(xpbptt.LSTM(3, 5, bidirectional=True))
    """
    net = as_net(net)
    of = draw(net, xp=xp, seed=seed, steps=steps, batch=batch)
    if not net.bidirectional:
        check_causality(net, of.params, of.x, of.state)
    elif net.num_layers == 1:
        size = net.output_size // net.directions
        check_causality(net, of.params, of.x, of.state, future=slice(size, 2 * size))
    if net.bidirectional:
        _each_alone(of)
    one = draw(as_net(net.one_head), xp=xp, seed=seed, steps=steps, batch=batch)
    layer = unroll(net.one_head)
    twice = reverse(reverse(layer))
    same("reversing twice", _train(twice, one), _train(layer, one), 0, xp=one.xp)
    there, back = layer, reverse(layer)
    other = one.xp.concat((one.x[:1, ...], one.x[1:, ...] + 1), axis=0)
    moved = one._replace(x=other)
    if not _differ(_first(back, one), _first(back, moved), one):
        message = "direction: `y[0]` of the reversed layer ignores `x[1:]`"
        raise LawError(message)
    if _differ(_first(there, one), _first(there, moved), one):
        message = "direction: `y[0]` depends on `x[1:]`"
        raise LawError(message)


def _each_alone(of: Sample) -> None:
    """Compare the first layer with its two directions, run one by one."""
    net, xp = of.net, of.xp
    both = as_net(type(net)(net.cell, net.input_size, net.sizes[0], bidirectional=True))
    one = as_net(both, one_way=True)
    y, final = both.infer(of.params[:1], of.x, of.state[:1])
    (there, back), (start, end) = of.params[0], of.state[0]
    y1, final1 = one.infer((there,), of.x, (start,))
    y2, final2 = one.infer((back,), xp.flip(of.x, axis=0), (end,))
    expected = {
        "y": xp.concat((y1, xp.flip(y2, axis=0)), axis=-1),
        "state": ((*final1, *final2),),
    }
    same("both directions are each alone", {"y": y, "state": final}, expected, xp=xp)


def _train(layer: Layer, of: Sample) -> dict[str, Tree]:
    """Run both passes of a layer."""
    run = Run(None, KeepAll().plan(of.x.shape[0], UNASKED))
    y, state, cache = layer.forward(of.params[0], of.x, of.state[0], run, xp=of.xp)
    grads, _ = layer.backward(cache, of.dy, of.dstate[0], Watch(), xp=of.xp)
    return {"y": y, "state": state, "grads": grads}


def _first(layer: Layer, of: Sample) -> Any:
    return layer.infer(of.params[0], of.x, of.state[0], Run(), xp=of.xp)[0][0, ...]


def _differ(a: Any, b: Any, of: Sample) -> bool:
    return bool(of.xp.any(a != b))
