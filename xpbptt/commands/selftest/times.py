"""The rows of ``python -m xpbptt bench``, few of them and roughly measured."""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from xpbptt.commands.bench import peers, report
from xpbptt.commands.bench.cases import CELLS, Case
from xpbptt.commands.bench.measure import Effort, Row, measure
from xpbptt.commands.selftest.check import Check, CheckError, NotApplicable, Setup

ROUGH, ROUGHER = Effort(0.3, 3), Effort(0.01, 1)
SIZES, TINY = ((50, 32, 64), (100, 32, 256)), ((8, 4, 8),)
STREAM = (100, 1, 32)


class Timing(NamedTuple):
    """What is timed, and beside whom."""

    cases: list[Case]
    names: list[str]  # the peers that are there
    missing: dict[str, str]  # the others, and why


def plan(setup: Setup) -> Timing:
    """Return what is to be timed on this machine."""
    sizes = TINY if setup.quick else SIZES
    cells = CELLS[:1] if setup.quick else CELLS
    cases = [Case("train", cell, "float32", *size) for cell in cells for size in sizes]
    if not setup.quick:
        cases += [Case("masked", "lstm", "float32", *size) for size in sizes]
        cases += [Case("step", "lstm", "float32", *STREAM)]
    found = {name: peers.missing(name) for name in peers.NAMES}
    missing = {name: reason for name, reason in found.items() if reason}
    return Timing(cases, [name for name in found if name not in missing], missing)


def clock(setup: Setup) -> str:
    """Say what the times are measured with."""
    cpu = 1  # the device type of the DLPack protocol
    on_gpu = setup.xp.ones(1).__dlpack_device__()[0] != cpu
    events = setup.backend == "cupy" or (setup.backend == "torch" and on_gpu)
    return f"Measured with {'events of the GPU' if events else 'the clock of the host'}."


def checks(timing: Timing, setup: Setup, rows: list[Row]) -> Iterator[Check]:
    """Yield a check for each row; what was measured is added to `rows`."""
    return (Check(case.name, partial(_measure, case, timing, setup, rows)) for case in timing.cases)


def _measure(case: Case, timing: Timing, setup: Setup, rows: list[Row]) -> str:
    effort = ROUGHER if setup.quick else ROUGH
    try:
        row = measure(case, timing.names, effort, xp=setup.xp, backend=setup.backend)
    except NotImplementedError as error:  # as from a device that only plays one, and has no clock
        raise NotApplicable(str(error)) from error
    rows.append(row)
    if wrong := [name for name, entry in row.peers.items() if entry.wrong]:
        message = f"other values than those of {' and '.join(wrong)}\n{report.line(row)}"
        raise CheckError(message)
    return report.line(row)
