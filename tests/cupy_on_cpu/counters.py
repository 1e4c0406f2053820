"""What the device was asked to do: launches, products, copies, synchronisations, allocations."""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
LIBRARIES = {"array_api_compat", "cupy", "cupyx", "numpy"}
SIMULATOR = {str(path) for path in HERE.glob("*.py") if not path.match("test_*")}


class Kernel(NamedTuple):
    """The source of a launched kernel, as CuPy hands it to NVRTC, and the options it gives."""

    source: str
    options: tuple[str, ...]
    expressions: tuple[str, ...]  # the instances of templates that are asked for

    def all(self) -> tuple[str, ...]:
        """Return all that the compiled kernel depends on."""
        return (self.source, *self.options, *self.expressions)


@dataclass
class Count:
    """What happened while it was counting.

    Attributes
    ----------
    launches : Counter of str
        Kernels by name. Products of matrices are counted apart.
    cooperative : int
        Those of the launches that were co-operative.
    products : int
        Products of matrices by cuBLAS; each matrix of a batch counts.
    to_device, to_host, on_device : int
        Copies, by direction. A kernel that copies is a launch.
    synchronisations : int
        Waits of the host for the device, a blocking copy to the host among them.
    graphs : int
        Graphs that were launched.
    nodes : Counter of str
        What the launched graphs did, by name: their kernels, ``"product"``, ``"copy"`` and
        ``"fill"``. It is counted nowhere else.
    fills : int
        Stretches of memory set to one byte, as by `zeros`. A kernel that fills is a launch.
    allocations : int
        Arrays that were given memory. CuPy's memory pool is switched off, so each one shows.
    waits : list of str
        For each copy from or to the host and each synchronisation, what it was and the line that
        brought it about.
    kernels : dict of str to set of Kernel
        The sources of the launched kernels, by name.
    streams : dict of int to Counter of str
        By the handle of each stream, 0 for the default one, what was asked of it: ``"launches"``,
        ``"products"``, ``"fills"`` and copies. Left out where two counts are compared.
    """

    launches: Counter[str] = field(default_factory=Counter)
    cooperative: int = 0
    products: int = 0
    graphs: int = 0
    nodes: Counter[str] = field(default_factory=Counter)
    to_device: int = 0
    to_host: int = 0
    on_device: int = 0
    synchronisations: int = 0
    fills: int = 0
    allocations: int = 0
    waits: list[str] = field(default_factory=list)
    kernels: dict[str, set[Kernel]] = field(default_factory=dict)
    streams: dict[int, Counter[str]] = field(default_factory=dict, compare=False)


_counting: list[Count] = []


@contextmanager
def counting() -> Iterator[Count]:
    """Count what the device is asked to do inside the ``with``; may be nested.

    Examples
    --------
    >>> with counting() as count:
    ...     pass
    >>> count.products
    0
    """
    count = Count()
    _counting.append(count)
    try:
        yield count
    finally:
        _counting[:] = [other for other in _counting if other is not count]


def launch(name: str, kernel: Kernel, stream: int) -> None:
    """Count a launch."""
    _place("launches", stream)
    for count in _counting:
        count.launches[name] += 1
        count.kernels.setdefault(name, set()).add(kernel)


def node(name: str) -> None:
    """Count what a graph does."""
    for count in _counting:
        count.nodes[name] += 1


def add(what: str, stream: int | None = None) -> None:
    """Count one of the attributes of `Count` that are numbers, and the stream that it went to."""
    if stream is not None:
        _place(what, stream)
    for count in _counting:
        setattr(count, what, getattr(count, what) + 1)


def wait(what: str, stream: int | None = None) -> None:
    """Count one that concerns the host, and note the line that brought it about."""
    add(what, stream)
    if _counting:
        line = _line()
        for count in _counting:
            count.waits.append(f"{what}: {line}")


def _place(what: str, stream: int) -> None:
    for count in _counting:
        count.streams.setdefault(stream, Counter())[what] += 1


def _line() -> str:
    """Name the innermost line of Python that is neither the simulator's nor CuPy's."""
    frame = sys._getframe(1)
    while frame is not None:
        path, module = frame.f_code.co_filename, frame.f_globals.get("__name__", "")
        if path not in SIMULATOR and module.partition(".")[0] not in LIBRARIES:
            return f"{path}:{frame.f_lineno}"
        frame = frame.f_back
    return "unknown"
