"""The options of ``python -m xpbptt train`` and ``sample``."""

import argparse
from collections.abc import Callable
from typing import Any

from xpbptt.commands.base.arguments import add_backend, number, numbers
from xpbptt.commands.train import curve, text
from xpbptt.commands.train.settings import CELLS, Settings

Command = Callable[[argparse.Namespace], int]

OUT = "model.safetensors"
SECONDS = 45.0
TEMPERATURE = 0.8
EPILOG = (
    "exit codes: 0 done; 2 something in the command, a text or a file has to be put right, and "
    "nothing was changed; 1 training or saving failed; 130 stopped by Ctrl-C, 143 by SIGTERM, 129 "
    "by SIGHUP"
)


def add_train(commands: Any, run: Command) -> None:
    """Add the command that trains."""
    train = commands.add_parser(
        "train",
        help="train a character model on a text",
        description="Train a character model on a text and sample from it. The model is "
        "saved twice a minute, whenever it is the best on the held-out text, and at the end. "
        "Ctrl-C, SIGTERM and SIGHUP finish the step, save and stop; a second Ctrl-C stops at once "
        "and leaves the file as it was saved last.",
        epilog=EPILOG,
    )
    train.set_defaults(run=run)
    add = train.add_argument
    add(
        "--text",
        metavar="FILE",
        help=f"a text in UTF-8, - for standard input (default: {text.DEFAULT_NAME})",
    )
    add_backend(train)
    _add_settings(train)
    about = "stop after so many more steps"
    add("--steps", type=number(int, 1), metavar="N", help=about)
    about = f"stop after so much time (default: {SECONDS:.0f} if there is no --steps either)"
    add("--seconds", type=number(float, 0, above=True), metavar="S", help=about)
    about = f"where to save the model (default: the file resumed from, or {OUT})"
    add("--out", metavar="FILE", help=about)
    about = "stop when so many numbers on the held-out text have come after the best one"
    add("--patience", type=number(int, 1), metavar="N", help=about)
    about = "keep the best model on the held-out text, too, as MODEL.best beside the last"
    add("--keep-best", action="store_true", help=about)
    about = "threads of matrix products (default: the faster of one and all; as before on --resume)"
    add("--threads", type=number(int, 1), metavar="N", help=about)
    about = (
        "write a line of JSON for each report to this file; `xpbptt plot` draws it (default: "
        "beside the model, as model.jsonl)"
    )
    add("--log", nargs="?", const="", default="", metavar="FILE", help=about)
    add("--no-log", dest="log", action="store_const", const=None, help="write no log")
    about = (
        f"draw the curve to this file at the end: {', '.join(curve.SUFFIXES)} (default FILE: "
        "beside the model, as model.png)"
    )
    add("--plot", nargs="?", const="", metavar="FILE", help=about)
    about = "show a line of what the model writes with each number on the held-out text"
    add("--samples", action="store_true", help=about)
    add(
        "--prompt", default="", metavar="TEXT", help="the text that the sample at the end continues"
    )
    about = "replace the model that is there, and its log"
    add("--overwrite", action="store_true", help=about)
    about = "go on with a saved model and its settings (default FILE: that of --out)"
    add("--resume", nargs="?", const="", metavar="FILE", help=about)


def _add_settings(train: argparse.ArgumentParser) -> None:
    default = Settings()
    about = f"the recurrent cell (default: {default.cell})"
    train.add_argument("--cell", choices=CELLS, help=about)
    positive = number(int, 1)
    for name, kind, what in [
        ("hidden", positive, "hidden units of a layer"),
        ("layers", positive, "layers"),
        ("batch", positive, "streams of text read side by side"),
        ("chunk", positive, "characters between two updates; gradients flow no further back"),
        ("learning_rate", number(float, 0, above=True), "learning rate of Adam"),
        ("seed", number(int, 0), "what the initial weights follow from"),
        (
            "halve",
            number(int, 0),
            "steps in which the learning rate halves; 0 for never",
        ),
        ("weight_decay", number(float, 0), "share of the learning rate by which matrices shrink"),
        ("dropout", number(float, 0), "share of the numbers between two layers that is dropped"),
    ]:
        about = f"{what} (default: {getattr(default, name)})"
        train.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar="N", help=about)


def add_sample(commands: Any, run: Command) -> None:
    """Add the command that samples."""
    about = "sample from a saved model"
    sample = commands.add_parser("sample", help=about, description=about, epilog=EPILOG)
    sample.set_defaults(run=run)
    add = sample.add_argument
    add("model", metavar="FILE", help="a model that `xpbptt train` saved")
    about = "how many characters (default: %(default)s)"
    add("--length", type=number(int, 1), default=500, metavar="N", help=about)
    about = (
        "below 1 the likely becomes likelier, 0 is the likeliest only; several, as 0.3,0.6,1, "
        f"make a sample each (default: {TEMPERATURE})"
    )
    reads = numbers(float, 0)
    add("--temperature", type=reads, default=[TEMPERATURE], metavar="X[,X…]", help=about)
    about = "what the draws follow from (default: %(default)s)"
    add("--seed", type=number(int, 0), default=0, metavar="N", help=about)
    about = "draw from so many of the likeliest characters only"
    add("--top-k", type=number(int, 1), metavar="K", help=about)
    add("--prompt", default="", metavar="TEXT", help="the text to continue")
    add_backend(sample)


def add_plot(commands: Any, run: Command) -> None:
    """Add the command that draws a log."""
    about = "draw the curve of a training run from its log"
    plot = commands.add_parser("plot", help=about, description=about, epilog=EPILOG)
    plot.set_defaults(run=run)
    plot.add_argument("log", metavar="LOG", help="what `xpbptt train` wrote beside a model")
    about = f"where to: {', '.join(curve.SUFFIXES)} (default: LOG{curve.SUFFIXES[0]})"
    plot.add_argument("--out", metavar="FILE", help=about)
