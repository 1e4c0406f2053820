"""The command line: train a character model and sample, time and check the nets, list libraries."""

import signal
import sys
from collections.abc import Sequence

from xpbptt.commands.base.errors import TrainingError, UserError
from xpbptt.commands.base.terminal import Lossy, one_line, silence
from xpbptt.commands.parser import parser

FAILED, REFUSED, INTERRUPTED = 1, 2, 130  # exit codes; 130 is what shells have for Ctrl-C


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
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # as the package sets it at first
        signal.signal(signal.SIGINT, signal.default_int_handler)
    chosen = parser().parse_args(argv)
    chosen.arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        code: int = chosen.run(chosen)
        if sys.stdout is not None:  # it is None where it was closed from the start
            sys.stdout.flush()
    except (UserError, TrainingError, MemoryError, KeyboardInterrupt) as error:
        return _complain(error)
    except OSError as error:  # standard output is closed, as `head` does, or its disk is full
        if sys.stdout is not None:
            silence(sys.stdout)
        return FAILED if isinstance(error, BrokenPipeError) else _complain(error)
    return code


def _complain(error: BaseException) -> int:
    """Say in one line what ended the command, and return the exit code."""
    message, code = str(error), FAILED
    if isinstance(error, UserError):
        code = REFUSED
    elif isinstance(error, KeyboardInterrupt):
        message, code = "interrupted", INTERRUPTED
    elif isinstance(error, MemoryError):
        message = f"out of memory: {message or 'take smaller numbers'}"
    elif isinstance(error, OSError):
        message = f"{error.filename or 'output'}: {error.strerror or error}"
    print(f"xpbptt: error: {one_line(message)}", file=Lossy(sys.stderr), flush=True)
    return code
