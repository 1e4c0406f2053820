"""Law 7: compiled or not, the same numbers; and the same bits each time."""

from collections.abc import Callable, Sequence
from itertools import product
from types import ModuleType
from typing import Any

from xpbptt._arrays.types import Tree
from xpbptt.bptt import Binomial, KeepAll, KeepStates, Segments, Strategy, Truncated
from xpbptt.testing.laws.compare import same
from xpbptt.testing.laws.sample import Sample, as_eager, as_net, draw

ROUNDING = {"float16": 2e-2, "float32": 1e-5, "float64": 1e-13}
PLANS: tuple[Strategy, ...] = (KeepAll(), KeepStates(), Segments(4), Binomial(2), Truncated(2))
WATCHED: tuple[dict[str, Any], ...] = ({}, {"trace": True}, {"trace": True, "clip_step": 0.1})


def engines(
    net: Any,
    *,
    xp: ModuleType | None = None,
    seed: int = 0,
    steps: int | None = None,
    batch: int | None = None,
    dtype: str = "float64",
    plans: Sequence[Strategy] = PLANS,
) -> None:
    """Check that a compiled net equals the eager one, to rounding, and itself, bit for bit.

    Every pass is compared: ``forward`` and ``backward`` with several strategies, with a trace and a
    limit of each step, ``infer`` and ``step``; with a mask and without, and of one sequence, too.
    Where nothing compiles the net, it is compared with itself.

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
    dtype : {"float16", "float32", "float64"}
        The dtype of all arrays.
    plans : sequence of Strategy
        The strategies.

    Raises
    ------
    AssertionError
        Where the law does not hold; the message names the pass, the array and the difference.

    Examples
    --------
    >>> import xpbptt
    >>> xpbptt.testing.laws.engines(xpbptt.LSTM(3, 5), dtype="float32")
    """
    net, tolerance = as_net(net, dropout=True), ROUNDING[dtype]
    for masked, sequences in ((False, batch), (True, batch), (False, 1)):
        size: dict[str, Any] = {"steps": steps, "batch": sequences}
        of = draw(net, xp=xp, seed=seed, masked=masked, dtype=dtype, **size)
        eager = of._replace(net=as_eager(net))
        for name, run in _passes(of, plans):
            found = run(of)
            law = f"{name}, {'masked' if masked else 'plain'}, B = {of.x.shape[1]}"
            same(f"compiled equals eager: {law}", found, run(eager), tolerance)
            same(f"the same bits twice: {law}", run(of), found, 0)
        _, _, cache = of.forward()
        once, twice = ({"grads": net.backward(cache, of.dy, of.dstate)} for _ in range(2))
        same("a cache serves twice", twice, once, 0)


Pass = Callable[[Sample], dict[str, Tree]]


def _passes(of: Sample, plans: Sequence[Strategy]) -> list[tuple[str, Pass]]:
    """Return the passes of a net, by name."""
    passes: list[tuple[str, Pass]] = []
    # Watched with the first two strategies only, which keep the residuals and do not.
    pairs = [(bptt, WATCHED[0]) for bptt in plans]
    pairs += product(plans[:2], WATCHED[1:])
    for bptt, watched in pairs if of.x.shape[1] != 1 else pairs[:1]:

        def train(
            one: Sample, bptt: Strategy = bptt, watched: dict[str, Any] = watched
        ) -> dict[str, Tree]:
            return one.train(bptt, **watched)

        passes.append((f"forward and backward with {bptt!r} {watched or ''}", train))
    if not of.net.draws:
        passes.append(("infer", Sample.infer))
    if not of.net.bidirectional and of.x.shape[0]:
        passes.append(("step", Sample.stream))
    return passes
