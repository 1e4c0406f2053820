"""What ``python -m xpbptt train`` and ``sample`` do with their options."""

import argparse
import itertools
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from xpbptt._arrays import atomic
from xpbptt.commands.base import threads
from xpbptt.commands.base.backend import load_backend
from xpbptt.commands.base.errors import NotFiniteError
from xpbptt.commands.base.terminal import Lossy, plain, shown
from xpbptt.commands.train import baselines, blas, checkpoint, loop, options, ranks
from xpbptt.commands.train import sample as sampling
from xpbptt.commands.train.checkpoint import Checkpoint
from xpbptt.commands.train.display import Display
from xpbptt.commands.train.host import to_device
from xpbptt.commands.train.interrupt import Interrupt
from xpbptt.commands.train.job import Job, prepare
from xpbptt.commands.train.keeper import Keeper
from xpbptt.commands.train.ranks import Ranks
from xpbptt.commands.train.settings import NAMES

SIGNALLED = 128  # the exit code of a signal is this and its number, as in shells


def sample(chosen: argparse.Namespace) -> int:
    """Print characters that a saved model finds likely; return the exit code."""
    stored = checkpoint.load(Path(chosen.model))
    how = {name: getattr(chosen, name) for name in ("prompt", "length", "temperature", "seed")}
    xp, _ = load_backend(chosen.backend)
    one = blas.current(xp) is not None and blas.small(stored.model, 1)
    with threads.limited(1 if one else None, "blas"):
        _print_sample(stored, xp, **how)
    return 0


def _print_sample(stored: Checkpoint, xp: Any, *, prompt: str = "", **how: Any) -> None:
    params = to_device(stored.progress.params, xp=xp)
    characters = sampling.sample(
        stored.model, params, stored.vocabulary, xp=xp, prompt=prompt, **how
    )
    first = next(characters)  # nothing is printed of a model that cannot be sampled from
    try:
        for character in itertools.chain(prompt, first, characters):
            print(shown(character), end="")
    finally:  # an error begins a line of its own
        print()


def train(chosen: argparse.Namespace) -> int:
    """Train, print what comes of it, and return the exit code."""
    # A run is not lost because nobody reads what it prints.
    with redirect_stdout(Lossy(sys.stdout)), redirect_stderr(Lossy(sys.stderr)):
        together = ranks.find()
        if together is not None and together.rank:
            return ranks.follow(_shared(chosen, together), together)
        try:
            return _prepare_and_run(chosen, together)
        finally:
            sys.stdout.flush()


def _shared(chosen: argparse.Namespace, together: Ranks | None) -> Job:
    out = _out(chosen)
    job = prepare(
        {name: value for name in NAMES if (value := getattr(chosen, name)) is not None},
        text_path=chosen.text,
        backend=chosen.backend,
        resume=None if chosen.resume is None else Path(chosen.resume or out),
        out=out,
    )
    return ranks.shared(job, together)


def _out(chosen: argparse.Namespace) -> Path:
    return Path(chosen.out or chosen.resume or options.OUT)


def _prepare_and_run(chosen: argparse.Namespace, together: Ranks | None) -> int:
    out, job = _out(chosen), _shared(chosen, together)
    seconds = chosen.seconds
    if chosen.steps is None and seconds is None:
        seconds = options.SECONDS
    beside = _introduce(job, together)
    job, reason = job.with_threads()
    if reason:
        print(f"threads   {job.threads}: {reason}", flush=True)
    with threads.limited(job.threads, "blas"):
        return _run(job, loop.Budget(chosen.steps, seconds), out, beside, together)


def _run(job: Job, budget: loop.Budget, out: Path, beside: str, together: Ranks | None) -> int:
    atomic.sweep(out)
    with Interrupt() as interrupt, Display(sys.stderr, budget, beside) as display:
        keeper = Keeper(job, out, complain=display.say)
        try:
            progress = loop.run(
                job,
                budget,
                stop=lambda: interrupt.requested,
                show=display.show,
                keep=keeper.offer,
            )
            stored = keeper.save(progress)
        except NotFiniteError as error:
            raise keeper.rescue(error) from error
        finally:
            if together is not None:
                together.tell(ranks.STOP)
    print(f"saved     {plain(str(out))} after step {progress.moments.step}", flush=True)
    if interrupt.signal is not None:
        return SIGNALLED + interrupt.signal
    print(f"held out  {job.held_out_bits(progress):.2f} bits/char; {beside}")
    print("sample", flush=True)
    _print_sample(stored, job.trainer.xp)
    return 0


def _introduce(job: Job, together: Ranks | None) -> str:
    """Print what is about to happen, and return the baselines in words."""
    corpus, trainer = job.corpus, job.trainer
    unigram, bigram = baselines.unigram(corpus), baselines.bigram(corpus)
    beside = f"bigram {bigram:.2f}, unigram {unigram:.2f}"
    characters, kinds = len(corpus), len(corpus.vocabulary)
    print(f"text      {plain(corpus.name)}: {characters} characters of {kinds} kinds")
    print(f"held out  the last {len(corpus.held_out) - 1} characters: {beside} bits/char")
    library = trainer.xp.__name__.removeprefix("array_api_compat.")
    net, readout = trainer.model.net, trainer.model.readout
    print(f"model     {net} and {readout} on {library}", flush=True)
    if together is not None:
        print(f"ranks     {together.size} share each batch", flush=True)
    if job.start.moments.step:
        print(f"resumed   after step {job.start.moments.step}", flush=True)
    return beside
