"""The command: ``python -m mutants``, which ``nox -s mutants`` runs."""

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from .planted import MUTANTS
from .verdict import healthy, verdict


def main() -> int:
    """Run the tests of all mutants without and with them; return 1 if one is not caught."""
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__)
    parser.add_argument("words", nargs="*", help="run the mutants whose defects have these words")
    parser.add_argument("--jobs", type=int, default=2, help="how many at once (default: 2)")
    asked = parser.parse_args()
    start = time.monotonic()
    mutants = [m for m in MUTANTS if all(word in m.defect for word in asked.words)]
    if not mutants:
        parser.error(f"no mutant has the words {asked.words}")
    with ThreadPoolExecutor(asked.jobs) as pool:
        before, verdicts = pool.submit(healthy, mutants), pool.map(verdict, mutants)
        found = [
            _told(mutant.defect, *each) for mutant, each in zip(mutants, verdicts, strict=True)
        ]
        found.append(_told("the tests without a mutant", *before.result()))
    missed = sum(word not in {"caught", "passed"} for word in found)
    taken = time.monotonic() - start
    print(f"{len(mutants)} mutants, {missed} not caught or not to be judged, {taken:.0f} s")
    return missed > 0


def _told(name: str, word: str, seen: str) -> str:
    print(f"{word:9} {name}" + (f"\n{seen}" if seen else ""), flush=True)
    return word


if __name__ == "__main__":
    sys.exit(main())
