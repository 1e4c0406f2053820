"""A limit to the time of each script of the course and the gallery; longer is a warning.

What counts is the time of the processor, so that a busy machine breaks no build.
"""

import logging
import time
from typing import Any

SECONDS = 20.0  # the longest script takes four
_log = logging.getLogger("sphinx.limit")  # whose warnings are the build's
_began: dict[str | None, float] = {}


def watch(_gallery: dict[str, Any], script: str | None, when: str) -> None:
    """Note when a script begins, and complain after it if it took too long."""
    now = time.process_time()
    if when == "before":
        _began[script] = now
        return
    spent = now - _began.pop(script)
    if spent > SECONDS:
        message = "%s took %.0f s of the processor, more than the %.0f s of a script: shorten it"
        _log.warning(message, script, spent, SECONDS)
