"""Who computes a row, and whether two of them computed the same."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from xpbptt.commands.bench.timing import Clock, Run, Runner

Values = dict[str, np.ndarray[Any, Any]]

# Sums over thousands of products in another order; an error in the maths is far above this.
TOLERANCE = {"float32": 1e-4, "float64": 1e-10}


class Contestant(NamedTuple):
    """One implementation of a row, ready to run."""

    run: Run  # computes the row; what is timed
    # Makes NumPy arrays of what `run` returned: the output ``y`` and the gradients ``dx``,
    # ``dW_ih``, ``dW_hh``, ``db_ih``, ``db_hh``, in the layouts of xpbptt; where nothing is trained
    # the last state, ``h`` and ``c``, in place of gradients, and of a stream that alone.
    values: Callable[[Any], Values]
    clock: Clock  # how its runs are timed
    where: str  # the library's version and the device
    most: int | None = None  # after how many runs it is timed no more, where it is slow

    def compute(self) -> Values:
        """Run once and return the values."""
        result = self.run()
        self.clock.wait(result)
        return self.values(result)

    def runner(self) -> Runner:
        """Return what is timed."""
        return Runner(self.run, self.clock, self.most)


def difference(mine: Values, theirs: Values) -> float:
    """Return the largest difference between values of the same name, by the largest of `theirs`.

    Examples
    --------
    >>> import numpy as np
    >>> difference({"y": np.array([1.0, 2.0])}, {"y": np.array([1.0, 2.5]), "dx": np.array([0.0])})
    0.2
    """
    common = mine.keys() & theirs.keys()
    if not common or any(mine[name].shape != theirs[name].shape for name in common):
        return float("inf")
    largest = 0.0
    for name in common:
        scale = float(np.max(np.abs(theirs[name]), initial=0.0)) or 1.0
        apart = float(np.max(np.abs(mine[name] - theirs[name]), initial=0.0)) / scale
        largest = max(largest, apart if np.isfinite(apart) else float("inf"))
    return largest
