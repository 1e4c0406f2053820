"""The arrays that a case is run with."""

from itertools import cycle
from typing import Any, NamedTuple

import numpy as np

from xpbptt._arrays.tree import map_leaves

from .case import Case
from .layouts import LAYOUTS


class Given(NamedTuple):
    """What the calls of a net take."""

    params: Any
    x: Any
    state: Any
    mask: Any
    dy: Any
    dstate: Any
    reset: Any = None


def given(case: Case) -> Given:
    """Draw the arrays of a case, plain; where the mask is False they are 0."""
    net, random = case.net(), np.random.default_rng(case.seed)
    params = net.init(random, dtype="float64")
    state = net.infer(params, np.zeros((0, case.batch, case.inputs)))[1]
    sequence = case.steps, case.batch
    mask = _mask(case.mask, sequence, random)
    keep = 1.0 if mask is None else mask[..., None]
    made = Given(
        params=map_leaves(lambda p: case.scale * p, params),
        x=random.standard_normal((*sequence, case.inputs)) * keep,
        state=map_leaves(lambda s: random.standard_normal(s.shape), state)
        if case.with_state
        else None,
        mask=mask,
        dy=random.standard_normal((*sequence, net.output_size)) * keep,
        dstate=map_leaves(lambda s: random.standard_normal(s.shape), state)
        if case.with_dstate
        else None,
        reset=random.random(sequence) < 0.2 if case.reset else None,
    )
    return map_leaves(lambda a: a if a.dtype == bool else a.astype(case.dtype), made)


def laid_out(case: Case, plain: Given) -> Given:
    """Return the arrays as the case has them in memory, spoilt where the mask is False."""
    if case.spoilt and plain.mask is not None:
        keep = plain.mask[..., None]
        spoil = lambda a: np.where(keep, a, np.asarray(np.nan, a.dtype))  # noqa: E731
        plain = plain._replace(x=spoil(plain.x), dy=spoil(plain.dy))
    turns = cycle(case.layouts)

    def lay(array):
        if not case.native and array.dtype != bool:
            array = array.astype(array.dtype.newbyteorder())
        return LAYOUTS[next(turns)](array)

    return map_leaves(lay, plain)


def _mask(kind: str, shape: tuple[int, int], random) -> np.ndarray | None:
    if kind == "none":
        return None
    if kind == "padding":
        lengths = random.integers(0, shape[0] + 1, shape[1])
        return np.arange(shape[0])[:, None] < lengths
    share = {"full": 2, "empty": -1, "gaps": 0.7}[kind]
    return random.random(shape) < share
