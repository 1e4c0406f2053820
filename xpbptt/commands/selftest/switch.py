"""The switch between compiled cells and cells as they are written."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from xpbptt.kernels import VARIABLE


@contextmanager
def as_written() -> Iterator[None]:
    """Run cells as they are written for a while."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before
