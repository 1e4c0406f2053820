"""The command line: train a character model and sample, time and check the nets, list libraries."""

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
    chosen = parser().parse_args(argv)
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
