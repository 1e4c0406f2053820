"""What ``python -m xpbptt train`` and ``sample`` do with their options."""

import argparse
import itertools
import math
import os
import shlex
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

from xpbptt._arrays import atomic
from xpbptt.commands.base import threads
from xpbptt.commands.base.backend import load_backend
from xpbptt.commands.base.errors import NotFiniteError, UserError
from xpbptt.commands.base.terminal import Lossy, plain, shown
from xpbptt.commands.train import (
    baselines,
    blas,
    checkpoint,
    cost,
    curve,
    loop,
    memory,
    options,
    ranks,
)
from xpbptt.commands.train import sample as sampling
from xpbptt.commands.train.checkpoint import Checkpoint
from xpbptt.commands.train.display import Display
from xpbptt.commands.train.host import to_device
from xpbptt.commands.train.interrupt import Interrupt
from xpbptt.commands.train.job import Job, prepare
from xpbptt.commands.train.keeper import Keeper
from xpbptt.commands.train.log import Log, check_place, read
from xpbptt.commands.train.ranks import Ranks
from xpbptt.commands.train.settings import NAMES
from xpbptt.commands.train.train import TrainState

SAMPLE = 60  # characters of a line of `--samples`
SIGNALLED = 128  # the exit code of a signal is this and its number, as in shells


def sample(chosen: argparse.Namespace) -> int:
    """Print characters that a saved model finds likely; return the exit code."""
    stored = checkpoint.load(Path(chosen.model))
    how = {name: getattr(chosen, name) for name in ("prompt", "length", "seed", "top_k")}
    xp, _ = load_backend(chosen.backend)
    one = blas.current(xp) is not None and blas.small(stored.model, 1)
    with threads.limited(1 if one else None, "blas"):
        for temperature in chosen.temperature:
            if len(chosen.temperature) > 1:
                print(f"--- temperature {temperature:g}")
            _print_sample(stored, xp, temperature=temperature, **how)
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


def plot(chosen: argparse.Namespace) -> int:
    """Draw the curve of a log; return the exit code."""
    log = Path(chosen.log)
    out = log.with_suffix(curve.SUFFIXES[0]) if chosen.out is None else Path(chosen.out)
    entries = read(log)
    curve.check(out)
    curve.save(entries, out)
    print(f"curve     {plain(str(out))}")
    return 0


def train(chosen: argparse.Namespace) -> int:
    """Train, print what comes of it, and return the exit code."""
    # A run is not lost because nobody reads what it prints.
    with redirect_stdout(Lossy(sys.stdout)), redirect_stderr(Lossy(sys.stderr)):
        out = Path(chosen.out or chosen.resume or options.OUT)
        try:
            together = ranks.find()
            ranks.check(chosen.text, together)
            if together is not None and together.rank:  # rank 0 locks, prints and saves
                job = _prepare(chosen, out, together)
                with threads.limited(chosen.threads, "blas"):
                    return ranks.follow(job, together)
            with atomic.locked(out):
                job = _prepare(chosen, out, together)
                with ranks.led(together):
                    return _check_and_run(job, chosen, out, together)
        except BlockingIOError as error:
            message = f"another process is training {out}: wait for it, or give another --out"
            raise UserError(message) from error
        finally:
            sys.stdout.flush()


def _prepare(chosen: argparse.Namespace, out: Path, together: Ranks | None) -> Job:
    job = prepare(
        {name: value for name in NAMES if (value := getattr(chosen, name)) is not None},
        text_path=chosen.text,
        backend=chosen.backend,
        resume=None if chosen.resume is None else Path(chosen.resume or out),
        out=out,
        overwrite=chosen.overwrite,
    )
    return ranks.shared(job, together)


def _check_and_run(job: Job, chosen: argparse.Namespace, out: Path, together: Ranks | None) -> int:
    seconds = chosen.seconds
    if chosen.steps is None and seconds is None:
        seconds = options.SECONDS
    sampling.encode(chosen.prompt, job.corpus.vocabulary)  # told now if it cannot be
    best = out.with_name(f"{out.stem}.best{out.suffix}") if chosen.keep_best else None
    if best is not None:
        checkpoint.check_writable(best, overwrite=chosen.overwrite or chosen.resume is not None)
    log_path, picture = _beside(chosen.log, out, ".jsonl"), _beside(chosen.plot, out, ".png")
    # A log without a name belongs to the model beside it.
    goes_on = chosen.resume is not None and (bool(chosen.log) or _same(chosen.resume or out, out))
    if log_path is not None:
        check_place(log_path, goes_on=goes_on, overwrite=chosen.overwrite)
    if picture is not None:
        curve.check(picture)
    _check_apart({"--log": log_path, "--plot": picture}, out, best)
    compared = {"bigram": baselines.bigram(job.corpus), "unigram": baselines.unigram(job.corpus)}
    complain = partial(print, file=sys.stderr, flush=True)
    # Without a log of this run, that of the model it replaces would go on with the next one.
    stale = _beside("", out, ".jsonl") if chosen.overwrite and log_path is None else None
    log = Log(log_path, compared, goes_on=goes_on, complain=complain, stale=stale)
    beside = _introduce(job, compared, together)
    job, reason = job.with_threads(chosen.threads)
    if reason:
        print(f"threads   {job.threads}: {reason}", flush=True)
    with threads.limited(job.threads, "blas"):
        code = _run(job, loop.Budget(chosen.steps, seconds), out, best, beside, log, chosen)
    if picture is not None:
        curve.save(log.entries, picture)
        print(f"curve     {plain(str(picture))}", flush=True)
    return code


def _beside(given: str | None, out: Path, suffix: str) -> Path | None:
    """Return the file of an option; without a name, beside the model with another suffix."""
    if given is None:
        return None
    if given:
        return Path(given)
    return out.with_name(out.name.removesuffix(".safetensors") + suffix)


def _check_apart(files: dict[str, Path | None], out: Path, best: Path | None) -> None:
    """Refuse a file of an option that is the model's, the best model's or another option's."""
    taken = [(out, "the file of the model")]
    if best is not None:
        taken.append((best, "the file of the best model"))
    for option, path in files.items():
        if path is None:
            continue
        for other, name in taken:
            if _same(path, other):
                message = f"{option} {path} is {name}: give another one"
                raise UserError(message)
        taken.append((path, f"the file of {option}"))


def _same(one: str | Path, other: str | Path) -> bool:
    """Tell whether two paths lead to one file."""
    return os.path.realpath(one) == os.path.realpath(other)


def _run(
    job: Job,
    budget: loop.Budget,
    out: Path,
    best: Path | None,
    beside: str,
    log: Log,
    chosen: argparse.Namespace,
) -> int:
    atomic.sweep(out)
    before = checkpoint.load(best).held_out if best is not None and best.exists() else None
    before = math.inf if before is None or chosen.resume is None else before
    patience = math.inf if chosen.patience is None else chosen.patience
    with (
        Display(sys.stderr, budget, beside) as display,
        Interrupt(display.acknowledge) as interrupt,
    ):
        keeper = Keeper(job, out, complain=display.say, best=best, before=before, saved=log.begin)

        def keep(progress: TrainState, bits: float | None) -> None:
            keeper.offer(progress, bits)
            if chosen.samples and bits is not None:
                display.say(_line(job, progress, chosen.prompt))

        def show(report: loop.Report) -> None:
            log.add(report)
            display.show(report)

        try:
            progress = loop.run(
                job,
                budget,
                stop=lambda: interrupt.requested or keeper.waited >= patience,
                show=show,
                keep=keep,
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
            keeper.finish(progress, bits)
            log.finish(bits)
    print(f"saved     {plain(str(out))} after step {progress.moments.step}", flush=True)
    if keeper.waited >= patience:
        print(f"stopped   {patience} numbers on the held-out text after the best one", flush=True)
    if bits is not None:
        print(f"held out  {bits:.2f} bits/char; {beside}", flush=True)
    if interrupt.signal is not None:
        text = [] if chosen.text is None else ["--text", chosen.text]
        again = shlex.join(["python", "-m", "xpbptt", "train", *text, "--resume", str(out)])
        print(f"go on     {plain(again)}", flush=True)
        return SIGNALLED + interrupt.signal
    print("sample", flush=True)
    _print_sample(stored, job.trainer.xp, prompt=chosen.prompt)
    return 0


def _line(job: Job, progress: TrainState, prompt: str) -> str:
    """Return a line of what the model writes now."""
    written = sampling.sample(
        job.trainer.model, progress.params, job.corpus.vocabulary,
        xp=job.trainer.xp, prompt=prompt, length=SAMPLE, seed=progress.moments.step,
    )  # fmt: skip
    return f"step {progress.moments.step}: {plain(prompt + ''.join(written))}"


def _introduce(job: Job, compared: Mapping[str, float], together: Ranks | None) -> str:
    """Print what is about to happen, and return the baselines in words."""
    corpus, trainer = job.corpus, job.trainer
    beside = ", ".join(f"{name} {bits:.2f}" for name, bits in compared.items())
    characters, kinds = len(corpus), len(corpus.vocabulary)
    print(f"text      {plain(corpus.name)}: {characters} characters of {kinds} kinds")
    print(f"held out  the last {len(corpus.held_out) - 1} characters: {beside} bits/char")
    library = trainer.xp.__name__.removeprefix("array_api_compat.")
    net, readout = trainer.model.net, trainer.model.readout
    count = cost.parameters(trainer.settings, kinds)
    size = f"{count} parameters, {memory.words(cost.BYTES * count)}"
    print(f"model     {net} and {readout} on {library}: {size}", flush=True)
    if together is not None:
        print(f"ranks     {together.size} share each batch", flush=True)
    if job.start.moments.step:
        print(f"resumed   after step {job.start.moments.step}", flush=True)
    return beside
