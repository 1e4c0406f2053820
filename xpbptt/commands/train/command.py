"""What ``python -m xpbptt train`` and ``sample`` do with their options."""

import argparse
import itertools
import shlex
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from xpbptt._arrays import atomic
from xpbptt.commands.base import threads
from xpbptt.commands.base.backend import load_backend
from xpbptt.commands.base.errors import NotFiniteError, UserError
from xpbptt.commands.base.terminal import Lossy, plain, shown
from xpbptt.commands.train import baselines, blas, checkpoint, cost, loop, memory, options
from xpbptt.commands.train import sample as sampling
from xpbptt.commands.train.checkpoint import Checkpoint
from xpbptt.commands.train.display import Display
from xpbptt.commands.train.host import to_device
from xpbptt.commands.train.interrupt import Interrupt
from xpbptt.commands.train.job import Job, prepare
from xpbptt.commands.train.keeper import Keeper
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
        out = Path(chosen.out or chosen.resume or options.OUT)
        try:
            with atomic.locked(out):
                return _prepare_and_run(chosen, out)
        except BlockingIOError as error:
            message = f"another process is training {out}: wait for it, or give another --out"
            raise UserError(message) from error
        finally:
            sys.stdout.flush()


def _prepare_and_run(chosen: argparse.Namespace, out: Path) -> int:
    job = prepare(
        {name: value for name in NAMES if (value := getattr(chosen, name)) is not None},
        text_path=chosen.text,
        backend=chosen.backend,
        resume=None if chosen.resume is None else Path(chosen.resume or out),
        out=out,
        overwrite=chosen.overwrite,
    )
    seconds = chosen.seconds
    if chosen.steps is None and seconds is None:
        seconds = options.SECONDS
    beside = _introduce(job)
    job, reason = job.with_threads()
    if reason:
        print(f"threads   {job.threads}: {reason}", flush=True)
    with threads.limited(job.threads, "blas"):
        return _run(job, loop.Budget(chosen.steps, seconds), out, beside)


def _run(job: Job, budget: loop.Budget, out: Path, beside: str) -> int:
    atomic.sweep(out)
    with (
        Display(sys.stderr, budget, beside) as display,
        Interrupt(display.acknowledge) as interrupt,
    ):
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
        display.end(None)  # what it shows is of an earlier model
        bits = None
        if not interrupt.hurried:
            bits = job.held_out_bits(progress, lambda: interrupt.hurried)
            display.end(bits)
        if bits is not None:
            keeper.save(progress, bits)
    print(f"saved     {plain(str(out))} after step {progress.moments.step}", flush=True)
    if bits is not None:
        print(f"held out  {bits:.2f} bits/char; {beside}", flush=True)
    if interrupt.signal is not None:
        print(f"go on     with --resume {plain(shlex.quote(str(out)))}", flush=True)
        return SIGNALLED + interrupt.signal
    print("sample", flush=True)
    _print_sample(stored, job.trainer.xp)
    return 0


def _introduce(job: Job) -> str:
    """Print what is about to happen, and return the baselines in words."""
    corpus, trainer = job.corpus, job.trainer
    unigram, bigram = baselines.unigram(corpus), baselines.bigram(corpus)
    beside = f"bigram {bigram:.2f}, unigram {unigram:.2f}"
    characters, kinds = len(corpus), len(corpus.vocabulary)
    print(f"text      {plain(corpus.name)}: {characters} characters of {kinds} kinds")
    print(f"held out  the last {len(corpus.held_out) - 1} characters: {beside} bits/char")
    library = trainer.xp.__name__.removeprefix("array_api_compat.")
    net, readout = trainer.model.net, trainer.model.readout
    count = cost.parameters(trainer.settings, kinds)
    size = f"{count} parameters, {memory.words(cost.BYTES * count)}"
    print(f"model     {net} and {readout} on {library}: {size}", flush=True)
    if job.start.moments.step:
        print(f"resumed   after step {job.start.moments.step}", flush=True)
    return beside
