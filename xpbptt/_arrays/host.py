"""Copies from the device to the host: for files, pictures and translation, not for the maths."""

from typing import Any

import array_api_compat
import numpy as np


def to_numpy(array: Any) -> np.ndarray[Any, Any]:
    """Return the values of an array of any library as a NumPy array, which may share its memory."""
    if array_api_compat.is_cupy_array(array):
        array = array.get()
    elif array_api_compat.is_torch_array(array):
        array = array.detach().cpu().numpy()
    return np.asarray(array)
