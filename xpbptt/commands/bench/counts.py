"""How many calls of the array library a time step takes: matrix products and the rest.

On a GPU each call is one launch of a kernel or more. They are counted by running a pass at two
lengths and dividing by the additional steps, so that what is done once a sequence drops out.
"""

from importlib import import_module
from typing import NamedTuple

from xpbptt.commands.bench.problem import Problem, draw


class PerStep(NamedTuple):
    """The calls of a time step, forward and backward together.

    Attributes
    ----------
    products : float
        Matrix products.
    kernels : float
        The other calls that compute or copy.
    """

    products: float
    kernels: float

    @property
    def launches(self) -> float:
        """All of them."""
        return self.products + self.kernels


COUNTERS = ("numpy", "cupy", "torch")  # the modules in `counters`


def per_step(problem: Problem) -> PerStep | None:
    """Count the calls of a time step.

    Parameters
    ----------
    problem : Problem
        The row.

    Returns
    -------
    calls : PerStep or None
        None where they cannot be counted on this library.
    """
    if problem.backend not in COUNTERS:
        return None
    count = import_module(f"xpbptt.commands.bench.counters.{problem.backend}").count
    case = problem.case
    longer = case._replace(steps=2 * case.steps)
    short = count(problem)
    long = count(draw(longer, xp=problem.xp, backend=problem.backend))
    additional = longer.steps - case.steps
    return PerStep(*((b - a) / additional for a, b in zip(short, long, strict=True)))
