"""What the passes of a layer need of memory: that of the engine's runs, by the plan."""

from xpbptt.bptt.engines import needs
from xpbptt.bptt.engines.besides import besides
from xpbptt.bptt.layers.memory import Needs, Sizes
from xpbptt.bptt.layers.noise import Rates
from xpbptt.bptt.strategies import Plan
from xpbptt.cells.cell import Cell
from xpbptt.cells.elementwise import recurrence
from xpbptt.cells.recurrence import Recurrence


def memory(cell: Cell | Recurrence, rates: Rates, sizes: Sizes, plan: Plan) -> Needs:
    """Return what the passes of a layer need.

    Parameters
    ----------
    cell : Cell or Recurrence
        The time step.
    rates : Rates
        The noise.
    sizes : Sizes
        The sizes of the layer.
    plan : Plan
        What the pass forward keeps.
    """
    of = recurrence(cell) if isinstance(cell, Cell) else cell
    one = needs.footprint(of, sizes.inputs, sizes.hidden)
    weights, batch, tail = needs.prepared(one, sizes), sizes.batch, sizes.length - plan.tail
    more = besides(cell, rates, sizes)
    one = needs.noisy(one, rates, sizes)
    kept = (len(plan.snapshots) + tail + 1) * one.state
    if plan.residuals:
        kept += tail * one.residuals
    width = of.parts(sizes.hidden)[0]
    y = sizes.states(width)
    taped = y if plan.tail else 0  # else the outputs are the states that are kept
    blanked = y if sizes.masked else 0
    running = batch * _running(one, sizes, plan)
    ahead = max(taped + running, blanked) if sizes.inner else running
    back = batch * _coming_back(one, sizes, plan) + more.scratch
    if plan.again:
        back += weights
    if plan.longest < sizes.length:
        back += needs.gradients(of, sizes)
    return Needs(
        width=width,
        kept=batch * kept,
        keeps_x=True,
        y=max(taped, blanked),
        forward=batch * kept + weights + ahead,
        backward=back,
        step=sum(one),
        state=one.state,
        runs=1,
        pairs=more.pairs,
    )


def _running(one: needs.Footprint, sizes: Sizes, plan: Plan) -> int:
    """Return what the pass forward needs for its longest run."""
    if not plan.tail and not plan.residuals:
        return needs.advancing(one, sizes, plan.longest)
    recording = needs.recording(one, sizes, sizes.length - plan.tail)
    return max(recording, needs.advancing(one, sizes, plan.longest)) if plan.tail else recording


def _coming_back(one: needs.Footprint, sizes: Sizes, plan: Plan) -> int:
    """Return what the pass back needs for its longest move."""
    steps = plan.longest
    back = needs.rewinding(one, sizes, steps)
    if not plan.residuals:
        return steps * one.residuals + max(needs.recomputing(one, sizes, steps), back)
    if not plan.again:
        return back
    again = needs.segment(one, steps) + max(needs.recording(one, sizes, steps), back)
    return max(again, needs.advancing(one, sizes, plan.longest) if plan.sweeps else 0)
