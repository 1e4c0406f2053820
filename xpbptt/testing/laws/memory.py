"""Law 3: how the backward pass pays for memory changes no gradient."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

from xpbptt.bptt import Binomial, Budget, KeepStates, Segments, Strategy, Truncated
from xpbptt.testing.laws.compare import same
from xpbptt.testing.laws.sample import as_net, draw

EXACT: tuple[Strategy, ...] = (
    KeepStates(),
    Segments(),
    Segments(1),
    Segments(4),
    Segments(100),
    Binomial(1),
    Binomial(2),
    Binomial(3),
    Binomial(100),
    Budget(10**9),
)
WATCHED: dict[str, Any] = {"trace": True, "clip_step": 0.5}


def strategies(
    net: Any,
    *,
    xp: ModuleType | None = None,
    seed: int = 0,
    steps: int | None = None,
    batch: int | None = None,
    exact: Sequence[Strategy] = EXACT,
) -> None:
    """Check that every strategy gives what `KeepAll` gives, and what truncation leaves alone.

    That is outputs, states and gradients; with a trace and a limit of each step, too. A cache
    serves again, with the same bits. Truncating at T is no truncation, and truncating anywhere
    leaves outputs and final state alone.

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
    exact : sequence of Strategy
        The strategies.

    Raises
    ------
    AssertionError
        Where the law does not hold; the message names the strategy, the array and the difference.

    Examples
    --------
    >>> import xpbptt
    >>> xpbptt.testing.laws.strategies(xpbptt.RNN(3, 5), exact=[xpbptt.Segments(2)])
    """
    net = as_net(net, dropout=True)
    for masked in (False, True):
        of = draw(net, xp=xp, seed=seed, steps=steps, batch=batch, masked=masked)
        length = of.x.shape[0]
        expected, watched = of.train(), of.train(**WATCHED)
        whole = (Truncated(length),) if length else ()
        for bptt in (*exact, *whole):
            law = f"{bptt!r} gives what KeepAll() gives"
            y, state, cache = of.forward(bptt)
            once = net.backward(cache, of.dy, of.dstate)
            grads, trace = net.backward(cache, of.dy, of.dstate, **WATCHED)
            twice = net.backward(cache, of.dy, of.dstate)
            found = {"y": y, "state": state, "grads": once, "trace": None}
            same(law, found, expected)
            same(f"{law}, watched", found | {"grads": grads, "trace": trace}, watched)
            same(f"a cache of {bptt!r} serves again", {"grads": twice}, {"grads": once}, 0)
        for cut in range(1, length):
            y, state, _ = of.forward(Truncated(cut))
            outputs = {name: expected[name] for name in ("y", "state")}
            law = f"{Truncated(cut)!r} leaves outputs alone"
            same(law, {"y": y, "state": state}, outputs, 0)
