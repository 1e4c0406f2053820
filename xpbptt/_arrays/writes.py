"""Who sees that an array is written to."""

from typing import Any

import array_api_compat
import numpy as np

from xpbptt._arrays.types import AnyArray


def writes(array: Any) -> int | None:
    """Return torch's count of the writes to an array; None for other libraries."""
    try:
        count = array._version  # noqa: SLF001 - the counter that autograd relies on
    except (AttributeError, RuntimeError):  # not torch, or in its inference mode
        return None
    return count if isinstance(count, int) else None


def unseen(array: AnyArray) -> bool:
    """Tell whether `call` misses a write to an array of this library."""
    counted = isinstance(array, np.ndarray) or writes(array) is not None
    return not counted and array_api_compat.is_writeable_array(array)
