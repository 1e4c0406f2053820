"""The calls of a net, each returning a tree of what is compared."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from xpbptt._arrays.tree import map_leaves
from xpbptt.bptt import Gradients, Strategy

from .case import Case
from .given import Given


class Results(NamedTuple):
    """What a net returned."""

    y: Any
    state: Any
    grads: Any = None
    trace: Any = None


def train(case: Case, of: Given, bptt: Strategy) -> Results:
    """Run forward and back."""
    net = case.net()
    y, state, cache = net.forward(
        of.params, of.x, of.state, of.mask, reset=of.reset, bptt=bptt, dropout_seed=case.seed
    )
    y = y.copy()  # it may share memory with the cache
    options = {"trace": case.trace, "clip_step": case.clip, "per_sample": case.per_sample}
    grads = net.backward(cache, of.dy, of.dstate, **options)
    grads, trace = grads if case.trace else (grads, None)
    return Results(y, state, grads, trace)


def infer(case: Case, of: Given) -> Results:
    """Run forward alone."""
    y, state = case.net().infer(of.params, of.x, of.state, of.mask, reset=of.reset)
    return Results(y, state)


def stream(case: Case, of: Given) -> Results:
    """Run step by step."""
    outputs, state = [], of.state
    for t, x_t in enumerate(of.x):
        again = {} if of.reset is None else {"reset": of.reset[t], "initial": of.state}
        y_t, state = case.net().step(of.params, x_t, state, **again)
        outputs.append(y_t)
    return Results(np.stack(outputs), state)


def chunks(
    case: Case, of: Given, cuts: Iterable[int], bptt: Strategy, *, carried: bool = True
) -> Results:
    """Run forward over chunks with the state carried, and back with its gradient carried or not."""
    net, state, done = case.net(), of.state, []
    for start, stop in pairwise((0, *cuts, case.steps)):
        here = slice(start, stop)
        mask = None if of.mask is None else of.mask[here]
        y, state, cache = net.forward(of.params, of.x[here], state, mask, bptt=bptt)
        done.append((here, y.copy(), cache))
    dstate, dparams, dx = of.dstate, None, []
    for here, _, cache in reversed(done):
        grads = net.backward(cache, of.dy[here], dstate, clip_step=case.clip)
        dstate, dx = grads.state if carried else None, [grads.x, *dx]
        add = lambda a, b: a + b  # noqa: E731
        dparams = grads.params if dparams is None else map_leaves(add, dparams, grads.params)
    whole = Gradients(dparams, np.concatenate(dx), grads.state)
    return Results(np.concatenate([y for _, y, _ in done]), state, whole)
