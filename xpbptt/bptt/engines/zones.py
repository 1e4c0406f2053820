"""Zoneout in the engines that run the cell's own functions: elements that stay what they were.

The state after a step does not tell what the cell made of it, so that is kept with the residuals.
"""

from typing import Any

from xpbptt._arrays.types import Arrays, Namespace


def at(zones: tuple[Any, ...], t: int) -> tuple[Any, ...]:
    """Return the zones of a step."""
    return tuple(None if zone is None else zone[t, ...] for zone in zones)


def stayed(zones: tuple[Any, ...], new: Any, state: Any, *, xp: Namespace) -> Any:
    """Return what the cell makes of the state, with the elements in a zone as they were."""
    if not zones:
        return new
    parts = zip(zones, new, state, strict=True)
    return type(state)(*(a if z is None else xp.where(z, b, a) for z, a, b in parts))


def apart(residuals: Arrays, new: Any, zones: tuple[Any, ...]) -> tuple[Arrays, Any]:
    """Return the cell's residuals, and what it made of the state, which is like `new`."""
    count = len(zones)
    return residuals[:-count], type(new)(*residuals[-count:])


def parted(zones: tuple[Any, ...], dnew: Any, *, xp: Namespace) -> tuple[Any, Any]:
    """Return what of a gradient goes through the cell, and what passes it by."""
    kind, pairs = type(dnew), list(zip(zones, dnew, strict=True))
    through = (d if z is None else xp.where(z, xp.zeros_like(d), d) for z, d in pairs)
    passing = (
        xp.zeros_like(d) if z is None else xp.where(z, d, xp.zeros_like(d)) for z, d in pairs
    )
    return kind(*through), kind(*passing)
