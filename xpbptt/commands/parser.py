"""The options of the command line, of each command from its own folder."""

import argparse

from xpbptt import __version__, backends
from xpbptt.commands.bench import command as bench
from xpbptt.commands.bench import options as bench_options
from xpbptt.commands.selftest import command as selftest
from xpbptt.commands.selftest import options as selftest_options
from xpbptt.commands.train import command as train
from xpbptt.commands.train import options as train_options


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line; ``options.run`` is then the command to run."""
    top = argparse.ArgumentParser(
        prog="xpbptt",
        description="Recurrent networks with hand-written backpropagation through time: train a "
        "character model on a text, and sample from it.",
        epilog=train_options.EPILOG,
    )
    top.add_argument("--version", action="version", version=f"xpbptt {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    train_options.add_train(commands, train.train)
    train_options.add_sample(commands, train.sample)
    train_options.add_plot(commands, train.plot)
    bench_options.add(commands, bench.run)
    selftest_options.add(commands, selftest.run)
    what = "list the array libraries, and what is usable here"
    commands.add_parser("backends", help=what, description=what).set_defaults(run=_table)
    return top


def _table(_: argparse.Namespace) -> int:
    print(backends.table())
    return 0
