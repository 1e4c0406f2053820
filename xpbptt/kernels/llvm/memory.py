"""Freed memory that is kept for the next pass.

glibc, the C library of most Linux systems, gives freed memory back to the system and takes it again
page by page, which is up to half of the time of a pass, until it has seen a large block freed. From
then on it keeps what is freed, up to twice the size of that block; see M_MMAP_THRESHOLD and
M_TRIM_THRESHOLD in mallopt(3). Other C libraries have rules of their own.
"""

from contextlib import suppress

import numpy as np

LARGE = 2**25 - 2**16  # bytes; glibc learns from blocks of up to 32 MiB, what it adds included


def keep_freed() -> None:
    """Free a large block, which has taken no memory as nothing was written to it."""
    with suppress(MemoryError):  # where a process may not have that much there is nothing to keep
        np.empty(LARGE, dtype=np.uint8)
