"""The progress bar of a terminal."""

import io
import os
import sys
from typing import Any, TextIO

DELAY = 1.0  # seconds before it appears: what takes less needs none


def bar(total: int | None, about: str, unit: str) -> Any:
    """Return a bar on standard error for work that may take long; elsewhere it shows nothing.

    Parameters
    ----------
    total : int or None
        How much there is to do; None where that is not known.
    about : str
        What is being done.
    unit : str
        What is counted.

    Returns
    -------
    bar : tqdm.tqdm
        A context manager; ``bar.update(count)`` moves it, and it is wiped at the end.
    """
    from tqdm import tqdm  # noqa: PLC0415 - on use, not on import

    stream = sys.stderr or io.StringIO()  # there is none where it was closed from the start
    return tqdm(
        total=total,
        desc=about,
        unit=unit,
        unit_scale=True,
        file=stream,
        disable=not stream.isatty(),
        delay=DELAY,
        leave=False,
        **size(stream),
    )


def size(stream: TextIO) -> dict[str, Any]:
    """Return what tqdm is to know of the size: where a terminal says 0, it would show nothing."""
    try:
        known = min(os.get_terminal_size(stream.fileno())) > 0
    except OSError:
        known = False
    return {"dynamic_ncols": True} if known else {"ncols": 100, "nrows": 24}
