"""The gradients of the parameters from the records of all steps, summed or of each sequence."""

from typing import Any

from xpbptt._arrays.tree import map_leaves
from xpbptt._arrays.types import AnyArray, Arrays, Namespace, Tree
from xpbptt.bptt.layers.layer import Watch
from xpbptt.cells.recurrence import Recurrence


def accumulate(
    of: Recurrence,
    watch: Watch,
    params: Tree,
    x: AnyArray,
    states: Arrays,
    records: Arrays,
    *,
    xp: Namespace,
) -> tuple[Tree, AnyArray]:
    """Return the gradients of the parameters, for each sequence if they are wanted so, and of x.

    Parameters
    ----------
    of : Recurrence
        The time step.
    watch : Watch
        The options of the backward pass.
    params : tree of arrays
        The parameters.
    x : array (T, B, I)
        The input.
    states, records : tuple of arrays (T, B, …)
        The states that steps start from, and the records of the steps back.
    xp : namespace
        The namespace of the arrays.
    """
    if not watch.per_sample:
        return of.accumulate(params, x, states, records, xp=xp)
    if of.accumulate_each is not None:
        return of.accumulate_each(params, x, states, records, xp=xp)
    found, dx = [], []
    for b in range(x.shape[1]):
        given: list[Any] = [
            tuple(part[:, b : b + 1, ...] for part in parts) for parts in (states, records)
        ]
        dparams, part = of.accumulate(params, x[:, b : b + 1, ...], *given, xp=xp)
        found.append(dparams)
        dx.append(part)
    if not found:
        return map_leaves(lambda leaf: xp.zeros_like(leaf[None, ...])[:0, ...], params), x
    return (
        map_leaves(lambda *each: xp.stack(each, axis=0), *found),
        xp.concat(dx, axis=1),
    )
