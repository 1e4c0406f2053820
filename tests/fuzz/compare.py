"""Comparing what two runs return."""

import numpy as np

from xpbptt._arrays.tree import leaves

TOLERANCE = {"float32": 2e-4, "float64": 1e-10}  # of the largest element, or of 1


class Difference(AssertionError):  # noqa: N818 - it is what the error says
    """Two runs that should return the same do not."""


def same_bits(what: str, found, expected) -> None:
    """Raise where two trees do not hold the same bits."""
    for path, a, b in _pairs(what, found, expected):
        if a.tobytes() != b.tobytes():
            message = f"{what}: {path} is not the same bit for bit"
            raise Difference(message)


def close(what: str, found, expected, *, tolerance: float | None = None) -> None:
    """Raise where two trees differ by more than rounding."""
    for path, a, b in _pairs(what, found, expected):
        error = distance(a, b)
        if not error <= (tolerance or TOLERANCE[b.dtype.newbyteorder("=").name]):
            message = f"{what}: {path} is off by {error:.1e}"
            raise Difference(message)


def distance(found, expected) -> float:
    """Return the largest difference, relative to the largest element or to 1."""
    if found.size == 0:
        return 0.0
    finite = np.isfinite(expected)
    if not np.array_equal(finite, np.isfinite(found)):
        return np.inf
    a, b = (np.where(finite, each, 0).astype("float64") for each in (found, expected))
    return float(np.max(np.abs(a - b)) / max(1.0, np.max(np.abs(b))))


def _pairs(what, found, expected):
    a, b = dict(leaves(found, "")), dict(leaves(expected, ""))
    if a.keys() != b.keys():
        message = f"{what}: {sorted(a)} instead of {sorted(b)}"
        raise Difference(message)
    for path, array in a.items():
        (dtype, shape), (wanted, right) = (
            (each.dtype.newbyteorder("="), each.shape) for each in (array, b[path])
        )
        if (dtype, shape) != (wanted, right):
            message = f"{what}: {path[1:]} is {dtype} {shape}, not {wanted} {right}"
            raise Difference(message)
        yield path[1:], array, b[path]
