"""When a run is saved: now and then while it goes on, at its end, and before it is lost."""

import math
import time
from collections.abc import Callable
from pathlib import Path

from xpbptt.commands.base.errors import NotFiniteError, TrainingError
from xpbptt.commands.train import checkpoint
from xpbptt.commands.train.checkpoint import Checkpoint
from xpbptt.commands.train.job import Job
from xpbptt.commands.train.train import TrainState

SAVE_SECONDS = 30.0  # between two savings,
SAVE_TIMES = 10.0  # or, where saving takes long, so many times as long


class Keeper:
    """Keeps the model file of a run near to where the run stands.

    Parameters
    ----------
    job : Job
        The training run.
    path : Path
        The model file.
    complain : callable
        Called with a line where a saving failed and the run goes on.
    best : Path, optional
        Where the model with the best number on the held-out text is kept, beside the last one.
    before : float, optional
        The number of the model that is there.
    saved : callable, optional
        Called after each saving.

    Attributes
    ----------
    waited : int
        How many numbers on the held-out text came after the best one.
    """

    def __init__(
        self,
        job: Job,
        path: Path,
        *,
        complain: Callable[[str], None],
        best: Path | None = None,
        before: float = math.inf,
        saved: Callable[[], None] = lambda: None,
    ) -> None:
        self.waited = 0
        self._on_saved = saved
        self._best_path = best
        self._job = job
        self._path = path
        self._complain = complain
        self._next = time.monotonic() + SAVE_SECONDS
        self._best = before
        self._bits: float | None = None  # on the held-out text, as last measured
        self._last: TrainState | None = None
        self._saved: int | None = None  # the step of the last saving

    def offer(self, progress: TrainState, bits: float | None) -> None:
        """Save if it is time to, or if the model is the best so far.

        Raises NotFiniteError if it should be saved, but has numbers that are not finite.
        """
        self._bits = self._bits if bits is None else bits
        best = self._best if bits is None else min(self._best, bits)
        if bits is not None:
            self.waited = 0 if best < self._best else self.waited + 1
        if best < self._best or time.monotonic() >= self._next:
            began = time.monotonic()
            try:
                self.save(progress, self._bits, is_best=best < self._best)
            except NotFiniteError:
                raise
            except TrainingError as error:  # the disk may have room the next time
                self._complain(str(error))
            now = time.monotonic()
            self._next = now + max(SAVE_SECONDS, SAVE_TIMES * (now - began))
        self._best, self._last = best, progress

    def finish(self, progress: TrainState, bits: float) -> None:
        """Save once more, with what was measured of the finished model."""
        self.save(progress, bits, is_best=bits < self._best)

    def save(
        self, progress: TrainState, bits: float | None = None, *, is_best: bool = False
    ) -> Checkpoint:
        """Save, with the bits per character on the held-out text, and return what was saved.

        Raises TrainingError if it cannot be written; NotFiniteError if it has numbers that are not
        finite.
        """
        stored = self._job.stored(progress, bits)
        checkpoint.save(self._path, stored)
        self._saved = progress.moments.step
        self._on_saved()
        if is_best and self._best_path is not None:
            checkpoint.save(self._best_path, stored)
        return stored

    def rescue(self, error: NotFiniteError) -> TrainingError:
        """Return the error that ends a run whose numbers are not finite any more.

        The file is left alone if there is one: it is a better model than one about to overflow. If
        there is none, the last state is saved whose losses were finite.
        """
        if self._last is not None and not self._path.exists():
            try:
                self.save(self._last)
            except TrainingError:  # not finite either, or no place: the line below says that
                self._saved = None
        if self._saved is None:
            kept = f"nothing was saved, {self._path} is as it was"
        else:
            kept = f"{self._path} holds the model after step {self._saved}"
        return TrainingError(f"{error}; {kept}; try a smaller --learning-rate")
