"""The progress bar of a terminal."""

import os
import sys
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, TextIO

DELAY = 1.0  # seconds before it appears: what takes less needs none


def bar(total: int | None, about: str, unit: str) -> Any:
    """Return a bar on standard error for work that may take long; elsewhere it shows nothing."""
    if sys.stderr is None or not sys.stderr.isatty():  # None where it was closed from the start
        return nullcontext(SimpleNamespace(update=lambda _: None))
    from tqdm import tqdm  # noqa: PLC0415 - on use, not on import

    return tqdm(
        total=total,
        desc=about,
        unit=unit,
        unit_scale=True,
        file=sys.stderr,
        delay=DELAY,
        leave=False,
        **size(sys.stderr),
    )


def size(stream: TextIO) -> dict[str, Any]:
    """Return what tqdm is to know of the size: where a terminal says 0, it would show nothing."""
    try:
        known = min(os.get_terminal_size(stream.fileno())) > 0
    except OSError:
        known = False
    return {"dynamic_ncols": True} if known else {"ncols": 100, "nrows": 24}
