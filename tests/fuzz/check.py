"""What must hold of a case: the compiled engines against the eager one, and each against itself."""

import logging
import os
import warnings
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np

import xpbptt
from xpbptt._arrays.tree import leaves, map_leaves
from xpbptt.bptt import Strategy

from . import passes
from .case import Case
from .compare import TOLERANCE, Difference, close, distance, same_bits
from .constants import changed
from .given import Given, given, laid_out

NUDGES = 6  # times that the eager run is repeated on inputs a few roundings away


def check(case: Case) -> None:
    """Raise where the case shows a defect: an `AssertionError` or whatever a pass raised."""
    with warnings.catch_warnings(), _warned():
        warnings.simplefilter("error")
        plain = given(case)
        try:
            expected = _eager(case, plain)
        except RuntimeWarning:
            if _overflows(case, plain):
                return
            raise
        try:
            _compiled(case, plain, expected)
        except Difference:
            if not _sensitive(case, plain, expected):
                raise


def _compiled(case: Case, plain: Given, expected) -> None:
    of, bptt = laid_out(case, plain), case.bptt()
    before = {path: array.tobytes() for path, array in leaves(of, "")}
    with changed(case.constants):
        found = passes.train(case, of, bptt)
        close("compiled", found, expected)
        for path, array in leaves(found, ""):
            if array.dtype != of.x.dtype:
                message = f"{path[1:]} is {array.dtype}, the input {of.x.dtype}"
                raise Difference(message)
        same_bits("the same again", passes.train(case, of, bptt), found)
        _other_ways(case, of, found)
    for path, array in leaves(of, ""):
        if array.tobytes() != before[path]:
            message = f"the input {path[1:]} was written to"
            raise AssertionError(message)


def _other_ways(case: Case, of: Given, found) -> None:
    """Check what a case permits: `infer`, `step` and chunks give what `forward` gives."""
    outputs = found._replace(grads=None, trace=None)
    if not case.noisy:
        close("infer", passes.infer(case, of), outputs)
    if case.both or case.noisy:
        return
    if case.mask in {"none", "full"} and case.steps:
        close("step", passes.stream(case, of), outputs)
    if case.reset or case.per_sample:
        return
    whole = found._replace(trace=None)
    if case.strategy[0] == "Truncated":
        (length,) = case.strategy[1:]
        cuts = range(length, case.steps, length)
        close("truncated", passes.chunks(case, of, cuts, xpbptt.KeepAll(), carried=False), whole)
    elif case.chunks:
        close("chunks", passes.chunks(case, of, case.chunks, case.bptt()), whole)


def _eager(case: Case, of: Given) -> passes.Results:
    with patch.dict(os.environ, XPBPTT_FUSE="0"):
        return passes.train(case, of, _reference(case))


def _overflows(case: Case, plain: Given) -> bool:
    """Tell whether the results themselves are too large for the dtype, as without a bounded gate.

    What is infinite and what is NaN then depends on the order of the sums.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        results = _eager(case, plain)
    return not all(np.isfinite(array).all() for _, array in leaves(results, ""))


def _reference(case: Case) -> Strategy:
    """Return the plainest strategy that gives the same gradients."""
    return case.bptt() if case.strategy[0] == "Truncated" else xpbptt.KeepAll()


def _sensitive(case: Case, plain: Given, expected) -> bool:
    """Tell whether roundings of the inputs alone move the eager results as far.

    So they do where a comparison in a random cell is as good as undecided, or where a net is
    chaotic; nothing can be said of a case then.
    """
    random = np.random.default_rng(0)
    tiny = 4 * np.finfo(case.dtype).eps

    def nudge(array):
        if array.dtype == bool:
            return array
        return array * (1 + tiny * random.choice([-1, 0, 1], array.shape)).astype(array.dtype)

    for _ in range(NUDGES):
        moved = _eager(case, map_leaves(nudge, plain))
        errors = map_leaves(distance, moved, expected)
        if max(error for _, error in leaves(errors)) > TOLERANCE[case.dtype] / 10:
            return True
    return False


@contextmanager
def _warned():
    """Raise what the package logs as a warning, as that a cell is not compiled."""

    class Raise(logging.Handler):
        def emit(self, record):
            raise AssertionError(record.getMessage())

    log, handler = logging.getLogger("xpbptt"), Raise(logging.WARNING)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
