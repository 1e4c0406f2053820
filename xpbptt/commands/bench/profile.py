"""Where the time of a pass goes.

The matrix products are measured on their own, in the groups of `floors.Products`. The overhead of
the calls and of Python is taken from the same number of steps at B = I = H = 1, where there is
next to nothing to compute. What is left of the whole is ascribed to the elementwise work, with
what the parts cost more together than apart, in caches that they take from each other.
"""

from typing import Any, NamedTuple

from xpbptt.commands.bench import floors, ours
from xpbptt.commands.bench.cases import Case
from xpbptt.commands.bench.measure import Effort
from xpbptt.commands.bench.problem import draw
from xpbptt.commands.bench.timing import Runner, clock, interleave


class Profile(NamedTuple):
    """The parts of a row, in seconds."""

    case: Case
    whole: float  # the median of the pass
    # The products of the input; of the state, forward and backward; of the gradients.
    inputs: float
    forward: float
    backward: float
    gradients: float
    overhead: float  # calls and Python, measured where the arrays hold one number
    elementwise: float  # the rest, by difference


def profile(case: Case, effort: Effort, *, xp: Any, backend: str) -> Profile:
    """Measure the parts of a row."""
    problem = draw(case, xp=xp, backend=backend)
    tiny = draw(case._replace(batch=1, size=1), xp=xp, backend=backend)
    ticks = clock(backend, on_gpu=problem.on_gpu)
    runs = {
        "whole": ours.make(problem).run,
        **floors.products(problem)._asdict(),
        "tiny": ours.make(tiny).run,
        "tiny products": floors.products(tiny).run,
    }
    runners = {name: Runner(run, ticks) for name, run in runs.items()}
    for runner in runners.values():
        ticks.measure(runner.run)
    times = {
        name: found.median
        for name, found in interleave(runners, effort.seconds, effort.rounds).items()
    }
    whole, overhead = times["whole"], max(times["tiny"] - times["tiny products"], 0.0)
    parts = {name: times[name] for name in floors.Products._fields}
    rest = whole - overhead - sum(parts.values())
    return Profile(case, whole, **parts, overhead=overhead, elementwise=rest)


HEAD = (
    "",
    "Medians in ms. Measured apart: the products of the input, of the state in each step (forward,",
    "backward), of the gradients of weights and input; calls: the same steps with B = I = H = 1,",
    "less their products. elementwise is the rest by difference, with all that the parts cost more",
    "together than apart.",
)


def title() -> str:
    """Return the line above the profiles."""
    names = ("whole", "input", "forward", "backward", "gradients", "calls", "elementwise")
    columns = " ".join(f"{name:>11}" for name in names)
    return f"{'kind':6} {'cell':4} {'dtype':7} {'T':>5} {'B':>4} {'I=H':>5} {columns}"


def line(found: Profile) -> str:
    """Return the line of a profile."""
    case, *times = found
    columns = " ".join(f"{1e3 * time:11.2f}" for time in times)
    shape = f"{case.steps:5} {case.batch:4} {case.size:5}"
    return f"{case.kind:6} {case.cell:4} {case.dtype:7} {shape} {columns}"
