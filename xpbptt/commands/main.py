"""The command line: train a character model and sample, time and check the nets, list libraries."""

import argparse
import itertools
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

from xpbptt import backends
from xpbptt.commands.base import atomic
from xpbptt.commands.base.errors import NotFiniteError, TrainingError, UserError
from xpbptt.commands.bench import command as bench
from xpbptt.commands.bench import threads
from xpbptt.commands.selftest import command as selftest
from xpbptt.commands.train import baselines, blas, checkpoint, loop, options
from xpbptt.commands.train.checkpoint import Checkpoint
from xpbptt.commands.train.display import Display
from xpbptt.commands.train.host import to_device
from xpbptt.commands.train.interrupt import Interrupt
from xpbptt.commands.train.job import Job, load_backend, prepare
from xpbptt.commands.train.keeper import Keeper
from xpbptt.commands.train.sample import sample
from xpbptt.commands.train.settings import NAMES
from xpbptt.commands.train.terminal import Lossy, one_line, plain, shown, silence

FAILED, REFUSED, INTERRUPTED = 1, 2, 130  # exit codes; 130 is what shells have for Ctrl-C
SIGNALLED = 128  # the exit code of a signal is this and its number, as in shells


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments. Default: those of the process.

    Returns
    -------
    code : int
        The exit code: 0 done, 1 failed on the way, 2 refused, 130 stopped by Ctrl-C, 143 by
        SIGTERM, 129 by SIGHUP.

    Raises
    ------
    SystemExit
        If the arguments are no command, or ask for help or the version.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a sample may hold what the terminal cannot show
            stream.reconfigure(errors="backslashreplace")
    parser = options.parser(
        train=_train, sample=_sample, bench=_bench, selftest=_selftest, table=_table
    )
    chosen = parser.parse_args(argv)
    chosen.arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        code: int = chosen.run(chosen)
        if sys.stdout is not None:  # it is None where it was closed from the start
            sys.stdout.flush()
    except UserError as error:
        return _complain(error, REFUSED)
    except TrainingError as error:
        return _complain(error, FAILED)
    except MemoryError as error:
        return _complain(f"out of memory: {str(error) or 'take smaller numbers'}", FAILED)
    except KeyboardInterrupt:
        return _complain("interrupted", INTERRUPTED)
    except BrokenPipeError:  # what reads the output has closed it, as `head` does
        silence(sys.stdout)
        return FAILED
    return code


def _complain(error: object, code: int) -> int:
    print(f"xpbptt: error: {one_line(error)}", file=Lossy(sys.stderr), flush=True)
    return code


def _bench(chosen: argparse.Namespace) -> int:
    if threads.again_needed(chosen.threads, os.environ):
        return threads.again(chosen.threads, chosen.arguments)
    stream = sys.stderr if chosen.json == "-" else sys.stdout
    show = partial(print, file=stream, flush=True)
    bench.run(chosen, chosen.arguments, show=show, output=print)
    return 0


def _selftest(chosen: argparse.Namespace) -> int:
    show, progress = (
        partial(print, file=stream, flush=True)
        for stream in (sys.stderr if chosen.json == "-" else sys.stdout, sys.stderr)
    )
    well = selftest.run(chosen, chosen.arguments, show=show, progress=progress, output=print)
    return 0 if well else FAILED


def _table(_: argparse.Namespace) -> int:
    print(backends.table())
    return 0


def _sample(chosen: argparse.Namespace) -> int:
    stored = checkpoint.load(Path(chosen.model))
    how = {name: getattr(chosen, name) for name in ("prompt", "length", "temperature", "seed")}
    xp = load_backend(chosen.backend)
    one = blas.current(xp) is not None and blas.small(stored.model, 1)
    with blas.limited(1 if one else None):
        _print_sample(stored, xp, **how)
    return 0


def _print_sample(stored: Checkpoint, xp: Any, *, prompt: str = "", **how: Any) -> None:
    params = to_device(stored.progress.params, xp=xp)
    characters = sample(stored.model, params, stored.vocabulary, xp=xp, prompt=prompt, **how)
    first = next(characters)  # nothing is printed of a model that cannot be sampled from
    try:
        for character in itertools.chain(prompt, first, characters):
            print(shown(character), end="")
    finally:  # an error begins a line of its own
        print()


def _train(chosen: argparse.Namespace) -> int:
    # A run is not lost because nobody reads what it prints.
    with redirect_stdout(Lossy(sys.stdout)), redirect_stderr(Lossy(sys.stderr)):
        try:
            return _prepare_and_run(chosen)
        finally:
            sys.stdout.flush()


def _prepare_and_run(chosen: argparse.Namespace) -> int:
    out = Path(chosen.out or chosen.resume or options.OUT)
    job = prepare(
        {name: value for name in NAMES if (value := getattr(chosen, name)) is not None},
        text_path=chosen.text,
        backend=chosen.backend,
        resume=None if chosen.resume is None else Path(chosen.resume or out),
        out=out,
    )
    seconds = chosen.seconds
    if chosen.steps is None and seconds is None:
        seconds = options.SECONDS
    beside = _introduce(job)
    job, reason = job.with_threads()
    if reason:
        print(f"threads   {job.threads}: {reason}", flush=True)
    with blas.limited(job.threads):
        return _run(job, loop.Budget(chosen.steps, seconds), out, beside)


def _run(job: Job, budget: loop.Budget, out: Path, beside: str) -> int:
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
    print(f"saved     {plain(str(out))} after step {progress.moments.step}", flush=True)
    if interrupt.signal is not None:
        return SIGNALLED + interrupt.signal
    print(f"held out  {job.held_out_bits(progress):.2f} bits/char; {beside}")
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
    print(f"model     {net} and {readout} on {library}", flush=True)
    if job.start.moments.step:
        print(f"resumed   after step {job.start.moments.step}", flush=True)
    return beside
