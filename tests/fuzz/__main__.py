"""The command: ``python -m fuzz``, which ``nox -s fuzz`` runs."""

import argparse
import secrets
import sys
import time
from importlib import import_module

from .draw import draw
from .search import failure, search

find = import_module("xpbptt.kernels.find")


def main() -> int:
    """Fuzz for a while; return 1 if a case failed."""
    find.MOST = 10**6  # programs: as many cells as a run has time for
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long (default: 60)")
    parser.add_argument("--seed", type=int, help="of all cases (default: a fresh one)")
    parser.add_argument("--case", type=int, help="run this one case of the seed and no other")
    asked = parser.parse_args()
    seed = secrets.randbelow(10**6) if asked.seed is None else asked.seed
    if asked.case is not None:
        found = failure(asked.case, draw(seed, asked.case))
        print(found.details() + found.line(seed) if found else f"case {asked.case} passes")
        return bool(found)
    print(f"seed {seed}", flush=True)
    start, count, cells = time.monotonic(), 0, set()
    for count, (case, found) in enumerate(search(seed, asked.seconds), 1):  # noqa: B007 - printed
        cells.add((case.cell, case.dtype))
        if found:
            print(found.line(seed))
            return 1
    taken = time.monotonic() - start
    print(f"passed: {count} cases with {len(cells)} cells in {taken:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
