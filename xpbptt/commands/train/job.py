"""A training job: all that a command asks for, read and checked before anything is done."""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from xpbptt._arrays.types import Namespace
from xpbptt.commands.base import threads
from xpbptt.commands.base.backend import load_backend
from xpbptt.commands.base.errors import UserError
from xpbptt.commands.train import blas, checkpoint, cost, memory, text
from xpbptt.commands.train.checkpoint import Checkpoint
from xpbptt.commands.train.host import on_host, to_device, to_host
from xpbptt.commands.train.model import build
from xpbptt.commands.train.settings import Settings
from xpbptt.commands.train.text import Corpus
from xpbptt.commands.train.train import Trainer, TrainState

VOCABULARY_MOST = 180_000  # more than Unicode has assigned; the header of a model file is bounded


@dataclass(frozen=True)
class Job:
    """A training run that can start."""

    corpus: Corpus
    trainer: Trainer  # the training step
    start: TrainState  # the state before the first step of this run
    # The threads of matrix products: of the model file, and then those chosen for this run.
    threads: int | None = None

    def with_threads(self, asked: int | None = None) -> tuple["Job", str]:
        """Return the job with a number of threads, chosen if none is asked for, and the reason."""
        if asked is not None:
            return replace(self, threads=asked), "set by --threads"

        def probe(count: int) -> None:
            with threads.limited(count, "blas"):
                self.trainer.probe(self.start)

        count, reason = blas.choose(
            blas.current(self.trainer.xp),
            self.threads,
            os.environ,
            small=blas.small(self.trainer.model, self.trainer.settings.batch),
            probe=probe,
        )
        return replace(self, threads=count), reason

    def stored(self, progress: TrainState, held_out: float | None = None) -> Checkpoint:
        """Return what is to be saved of the run."""
        return Checkpoint(
            settings=self.trainer.settings,
            vocabulary=self.corpus.vocabulary,
            text_name=self.corpus.name,
            text_digest=self.corpus.digest,
            progress=progress.convert(to_host),
            threads=self.threads,
            held_out=held_out,
        )

    def held_out_bits(
        self, progress: TrainState, stop: Callable[[], bool] = lambda: False
    ) -> float | None:
        """Return the bits per character on the held-out text; None if `stop` said so."""
        trainer = self.trainer
        return trainer.model.bits_per_character(
            progress.params, self.corpus.held_out, trainer.settings.chunk, xp=trainer.xp, stop=stop
        )


def prepare(
    given: dict[str, Any],
    *,
    text_path: str | None,
    backend: str | None,
    resume: Path | None,
    out: Path,
    overwrite: bool = True,
) -> Job:
    """Read and check everything, so that a mistake is told before training and not after it.

    Raises UserError if anything has to be put right. Nothing was changed then.
    """
    stored = None if resume is None else checkpoint.load(resume)
    if stored is not None:
        _check_settings(resume, stored.settings, given)
    settings = _settings(given) if stored is None else stored.settings
    corpus = text.load(text_path)
    if stored is not None:
        _check_text(resume, stored, corpus)
    streams = corpus.streams(settings.batch, settings.chunk)
    _check_vocabulary(corpus)
    same = resume is not None and os.path.realpath(resume) == os.path.realpath(out)
    checkpoint.check_writable(out, overwrite=overwrite or same)
    xp, _ = load_backend(backend)
    _check_memory(settings, len(corpus.vocabulary), xp)
    trainer = Trainer(build(settings, len(corpus.vocabulary)), settings, streams, xp)
    if stored is None:
        return Job(corpus, trainer, trainer.start())
    progress = stored.progress.convert(lambda tree: to_device(tree, xp=xp))
    return Job(corpus, trainer, progress, stored.threads)


def _check_memory(settings: Settings, characters: int, xp: Namespace) -> None:
    """Refuse a model that the memory is too small for, before anything of it is made."""
    sizes = ("hidden", "layers", "batch", "chunk")
    what = ", ".join(f"--{name} {getattr(settings, name)}" for name in sizes)
    what = f"a model of {what} for {characters} kinds of characters"
    advice = "take smaller numbers"
    if on_host(xp):
        memory.check(cost.least(settings, characters), what, advice)
        memory.check(cost.training(settings, characters), what, advice)
    else:  # the device has a memory of its own; what is saved comes to the host
        stored = cost.saved(settings, characters)
        memory.check(stored, what, advice)


def _settings(given: dict[str, Any]) -> Settings:
    try:
        return Settings(**given)
    except ValueError as error:
        raise UserError(str(error)) from error


def _check_settings(path: Path | None, settings: Settings, given: dict[str, Any]) -> None:
    """Refuse options that contradict the settings in a file."""
    stored = asdict(settings)
    for name, value in given.items():
        if value != stored[name]:
            option = "--" + name.replace("_", "-")
            message = (
                f"{option} {value} contradicts {path}, which was trained with {stored[name]}: "
                "leave the option out, or train anew without --resume"
            )
            raise UserError(message)


def _check_vocabulary(corpus: Corpus) -> None:
    """Refuse a text of more characters than a model file has room for."""
    if len(corpus.vocabulary) > VOCABULARY_MOST:
        message = (
            f"{corpus.name} has {len(corpus.vocabulary)} different characters, more than the "
            f"{VOCABULARY_MOST} of a model file; take another text"
        )
        raise UserError(message)


def _check_text(path: Path | None, stored: Checkpoint, corpus: Corpus) -> None:
    """Refuse another text than the one that a file was trained on."""
    if (corpus.digest, corpus.vocabulary) != (stored.text_digest, stored.vocabulary):
        message = (
            f"{path} was trained on the text {stored.text_name}, but this one, {corpus.name}, is "
            "another or has changed since: name the same text with --text, or train anew"
        )
        raise UserError(message)
