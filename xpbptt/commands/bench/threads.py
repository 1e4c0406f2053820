"""A fixed number of threads: what reads it does so when it is imported, so a new process is begun.

The libraries of the matrix products and torch read the environment when they are imported, and
the command line has imported NumPy by the time it knows its options. So the command starts itself
again with the environment set, unless it is so already.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
)
STARTED = "XPBPTT_BENCH_STARTED"  # set in the new process, which is never to start another
XLA_ONE = "--xla_cpu_multi_thread_eigen=false"  # JAX takes one thread or all cores


def fixed(threads: int, environ: Mapping[str, str]) -> bool:
    """Tell whether the environment asks for so many threads.

    Parameters
    ----------
    threads : int
        How many.
    environ : mapping
        The environment.

    Examples
    --------
    >>> fixed(2, environment(2, {})), fixed(1, environment(2, {}))
    (True, False)
    """
    return all(environ.get(name) == str(threads) for name in VARIABLES)


def again_needed(threads: int, environ: Mapping[str, str]) -> bool:
    """Tell whether to start a new process: once at most, whatever the environment does.

    Parameters
    ----------
    threads : int
        How many.
    environ : mapping
        The environment.
    """
    return STARTED not in environ and not fixed(threads, environ)


def environment(threads: int, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment that asks for so many threads, the rest as it was.

    Parameters
    ----------
    threads : int
        How many.
    environ : mapping
        The environment.
    """
    changed = {**environ, **dict.fromkeys(VARIABLES, str(threads)), STARTED: "1"}
    flags = environ.get("XLA_FLAGS", "")
    if threads == 1 and XLA_ONE not in flags:
        changed["XLA_FLAGS"] = f"{flags} {XLA_ONE}".strip()
    return changed


def again(threads: int, arguments: Sequence[str]) -> int:
    """Run the command line in a new process with so many threads, and return its exit code.

    Parameters
    ----------
    threads : int
        How many.
    arguments : sequence of str
        The arguments of the command line.
    """
    command = [sys.executable, "-m", "xpbptt", *arguments]
    with subprocess.Popen(command, env=environment(threads, os.environ)) as process:  # noqa: S603
        try:
            return process.wait()
        except KeyboardInterrupt:  # which the other process has got, too
            return process.wait()
