"""A cell with the expectation of zoneout: what a net with zoneout computes where nothing is drawn.

Each part of the state after the step is p times what it was and 1 - p times what the cell makes of
it (D. Krueger et al., "Zoneout: regularizing RNNs by randomly preserving hidden activations",
ICLR 2017, section 3.1).
"""

from typing import Any

from xpbptt._arrays.types import Arrays, Namespace
from xpbptt.cells.cell import Bound, Cell
from xpbptt.cells.elementwise import recurrence
from xpbptt.cells.recurrence import Recurrence

Rates = tuple[float, ...]


def expected(cell: Cell | Recurrence, rates: Rates) -> Any:
    """Return the cell whose state is what zoneout makes of it on average.

    Parameters
    ----------
    cell : Cell or Recurrence
        The time step.
    rates : tuple of float
        The rate of each part of the state.

    Returns
    -------
    cell : Cell or Recurrence
        An equal one for an equal cell and the same rates.
    """
    if not any(rates):
        return cell
    if isinstance(cell, Cell) and cell.projection:  # its functions do not see the output
        cell = recurrence(cell)
    if isinstance(cell, Cell):
        return cell._replace(
            forward=Bound(_forward, cell, rates), backward=Bound(_backward, cell, rates)
        )
    return cell._replace(
        step=Bound(_step, cell, rates), step_backward=Bound(_step_backward, cell, rates)
    )


def _mixed(rates: Rates, state: Any, new: Any) -> Any:
    """Return the state after the step."""
    pairs = zip(rates, state, new, strict=True)
    return type(new)(*(p * old + (1 - p) * part if p else part for p, old, part in pairs))


def _through(rates: Rates, dnew: Any) -> Any:
    """Return the gradient of what the cell makes of the state."""
    return type(dnew)(*((1 - p) * part if p else part for p, part in zip(rates, dnew, strict=True)))


def _before(rates: Rates, dstate: Any, dnew: Any) -> Any:
    """Return the gradient of the state before the step."""

    def both(p: float, part: Any, d: Any) -> Any:
        if not p:
            return part
        return p * d if part is None else part + p * d

    return type(dstate)(*map(both, rates, dstate, dnew))


def _forward(
    cell: Cell, rates: Rates, u: Any, v: Any, state: Any, *, xp: Namespace, **own: Any
) -> tuple[Any, Arrays]:
    new, residuals = cell.forward(u, v, state, xp=xp, **own)
    return _mixed(rates, state, new), (*residuals, *new)


def _backward(
    cell: Cell,
    rates: Rates,
    residuals: Arrays,
    state: Any,
    new: Any,
    dnew: Any,
    *,
    xp: Namespace,
    **own: Any,
) -> tuple[Any, ...]:
    kept, made = residuals[: -len(rates)], type(new)(*residuals[-len(rates) :])
    du, dv, dstate, *dextra = cell.backward(kept, state, made, _through(rates, dnew), xp=xp, **own)
    return (du, dv, _before(rates, dstate, dnew), *dextra)


def _step(
    of: Recurrence, rates: Rates, weights: Any, u: Any, state: Any, *, xp: Namespace, **noise: Any
) -> tuple[Any, Arrays]:
    new, residuals = of.step(weights, u, state, xp=xp, **noise)
    return _mixed(rates, state, new), (*residuals, *new)


def _step_backward(
    of: Recurrence,
    rates: Rates,
    params: Any,
    residuals: Arrays,
    state: Any,
    new: Any,
    dnew: Any,
    *,
    xp: Namespace,
    **noise: Any,
) -> tuple[Arrays, Any]:
    kept, made = residuals[: -len(rates)], type(new)(*residuals[-len(rates) :])
    through = _through(rates, dnew)
    record, dstate = of.step_backward(params, kept, state, made, through, xp=xp, **noise)
    return record, _before(rates, dstate, dnew)
