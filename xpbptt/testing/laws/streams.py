"""Law 6: a sequence may come in chunks, or step by step."""

from types import ModuleType
from typing import Any

from xpbptt._arrays.tree import map_leaves
from xpbptt.testing.laws.compare import same
from xpbptt.testing.laws.sample import as_net, draw


def chunks(
    net: Any,
    *,
    xp: ModuleType | None = None,
    seed: int = 0,
    steps: int | None = None,
    batch: int | None = None,
) -> None:
    """Check that chunks with the state carried, and T calls of ``step``, equal the whole sequence.

    The gradients chain as well: that of the second chunk's initial state is that of the first one's
    final state. ``infer`` equals ``forward``, bit for bit. A bidirectional net is checked in one
    direction, as the other one reads the future.

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
    >>> xpbptt.testing.laws.chunks(xpbptt.LSTM(3, 5, num_layers=2))
    """
    net = as_net(net)
    for masked in (False, True):
        of = draw(net, xp=xp, seed=seed, steps=steps, batch=batch, masked=masked)
        y, state, _ = of.forward()
        same("infer equals forward", of.infer(), {"y": y, "state": state}, 0)
    of = draw(as_net(net, one_way=True), xp=xp, seed=seed, steps=steps, batch=batch)
    whole = of.train()
    outputs = {name: whole[name] for name in ("y", "state")}
    for cut in range(of.x.shape[0] + 1):
        early = of._replace(x=of.x[:cut, ...], dy=of.dy[:cut, ...])
        y1, carried, cache1 = early.forward()
        late = of._replace(x=of.x[cut:, ...], dy=of.dy[cut:, ...], state=carried)
        y2, final, cache2 = late.forward()
        second = of.net.backward(cache2, late.dy, of.dstate)
        first = of.net.backward(cache1, early.dy, second.state)
        grads = first._replace(
            params=map_leaves(lambda a, b: of.xp.asarray(a + b), first.params, second.params),
            x=of.xp.concat((first.x, second.x), axis=0),
        )
        y = of.xp.concat((y1, y2), axis=0)
        found = {"y": y, "state": final, "grads": grads, "trace": None}
        same(f"chunks of {cut} steps and the rest equal the whole", found, whole)
        y1, carried = early.infer().values()
        y2, final = late._replace(state=carried).infer().values()
        found = {"y": of.xp.concat((y1, y2), axis=0), "state": final}
        same(f"infer in chunks of {cut} steps and the rest", found, outputs)
    if of.x.shape[0]:
        same("steps equal the whole", of.stream(), outputs)
        start = of._replace(x=of.x[:1, ...], state=None)
        same("a first step starts from zeros", start.stream(), start.infer())
