"""The training loop: steps until the budget is spent or a signal, with a report now and then."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from xpbptt.commands.base.errors import NotFiniteError
from xpbptt.commands.train.job import Job
from xpbptt.commands.train.train import TrainState

REPORT_STEPS = 20  # the loss is read from the device after so many steps,
REPORT_SECONDS = 2.0  # or after so long where steps are slow
EVALUATE_SECONDS = 1.0  # a first number on the held-out text soon, then less and less often


@dataclass(frozen=True)
class Budget:
    """How long to train: at least one step, and until one of the two is spent."""

    steps: int | None  # the number of steps in this run
    seconds: float | None

    def spent(self, steps: int, seconds: float) -> bool:
        """Tell whether to stop."""
        by_steps = self.steps is not None and steps >= self.steps
        return by_steps or (self.seconds is not None and seconds >= self.seconds)

    def left(self, steps: int, seconds: float) -> float:
        """Return the seconds that are left at the pace so far."""
        by_time = math.inf if self.seconds is None else self.seconds - seconds
        if self.steps is None:
            return by_time
        return min(by_time, (self.steps - steps) * seconds / steps)


class Report(NamedTuple):
    """How training stands."""

    step: int  # the number of steps since the model was made
    steps: int  # the number of steps in this run
    seconds: float  # the time of this run
    train: float  # the mean bits per character over the steps since the last report
    # The last bits per character on the held-out text; None before the first.
    held_out: float | None
    held_out_is_new: bool  # whether it was computed for this report
    rate: float = math.nan  # the learning rate of the next step
    norm: float = math.nan  # of the gradients of the last step, before it was clipped


def run(
    job: Job,
    budget: Budget,
    *,
    stop: Callable[[], bool],
    show: Callable[[Report], None],
    keep: Callable[[TrainState, float | None], None],
) -> TrainState:
    """Train until the budget is spent or `stop` says so, and finish the step.

    Raises NotFiniteError if the loss is not finite any more.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # `_finite` looks at it
        return _run(job, budget, stop, show, keep)


def _run(
    job: Job,
    budget: Budget,
    stop: Callable[[], bool],
    show: Callable[[Report], None],
    keep: Callable[[TrainState, float | None], None],
) -> TrainState:
    progress = job.start
    started = shown_at = time.monotonic()
    evaluate_at = started + EVALUATE_SECONDS
    steps, window, bits = 0, 0, None
    total: Any = 0.0  # on the device
    while True:
        progress, loss = job.trainer.step(progress)
        steps, window, total = steps + 1, window + 1, total + loss
        now = time.monotonic()
        done = stop() or budget.spent(steps, now - started)
        if not done and window < REPORT_STEPS and now - shown_at < REPORT_SECONDS:
            continue
        train = _finite(float(total) / window / math.log(2), progress)
        fresh = not done and now >= evaluate_at
        if fresh:
            found = job.held_out_bits(progress, stop)
            bits, fresh, done = (bits, False, True) if found is None else (found, True, False)
        if not done:
            keep(progress, bits if fresh else None)
        shown_at = time.monotonic()
        if fresh:
            evaluate_at = _next(started, now, shown_at)
        step = progress.moments.step
        more = job.trainer.rate(step), float(progress.norm)
        show(Report(step, steps, shown_at - started, train, bits, fresh, *more))
        if done:
            return progress
        window, total = 0, 0.0


def _next(started: float, began: float, now: float) -> float:
    """Return when to evaluate again: what it costs stays a tenth, and lines stay few."""
    return now + max(4.0, 10 * (now - began), 0.1 * (now - started))


def _finite(train: float, progress: TrainState) -> float:
    if not math.isfinite(train):
        what = "the loss is"
        raise NotFiniteError(what, progress.moments.step)
    return train
