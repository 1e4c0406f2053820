"""What a counter finds, and what the counters share."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from xpbptt.kernels import Kernel, find, loops
from xpbptt.kernels.stream import around

Wrap = Callable[[Callable[..., Any]], Callable[..., Any]]


class Tally(NamedTuple):
    """The calls of one run.

    Attributes
    ----------
    products : int
        Matrix products.
    kernels : int
        The other calls that compute or copy. Views and fresh memory are none.
    """

    products: int
    kernels: int


class Counter:
    """Two numbers that grow."""

    def __init__(self) -> None:
        self.products = self.kernels = 0

    def add(self, calls: int = 1, *, product: bool = False) -> None:
        """Count calls."""
        self.products += calls * product
        self.kernels += calls * (not product)

    def restart(self) -> None:
        """Forget what was counted."""
        self.products = self.kernels = 0

    def tally(self) -> Tally:
        """Return what was counted."""
        return Tally(self.products, self.kernels)


@contextmanager
def replaced(module: Any, wraps: Mapping[str, Wrap]) -> Iterator[None]:
    """Replace functions of a module by wrapped ones for a while.

    Parameters
    ----------
    module : module
        Where they are.
    wraps : mapping of str to callable
        The names, and what makes the replacement.
    """
    before = {name: getattr(module, name) for name in wraps}
    try:
        for name, wrap in wraps.items():
            setattr(module, name, wrap(before[name]))
        yield
    finally:
        for name, function in before.items():
            setattr(module, name, function)


def same_memory(target: Any, value: Any) -> bool:
    """Tell whether two arrays of NumPy or CuPy are one and the same part of memory."""
    if not hasattr(value, "strides"):
        return False
    address = (
        array.data.ptr if hasattr(array.data, "ptr") else array.__array_interface__["data"][0]
        for array in (target, value)
    )
    return len(set(address)) == 1 and (target.shape, target.strides) == (value.shape, value.strides)


def counting_kernels(counter: Counter, plain: Callable[[Any], Any], *, xp: Any) -> dict[str, Wrap]:
    """Return what to replace in `xpbptt.bptt.engines.stepwise` so that compiled kernels count.

    Parameters
    ----------
    counter : Counter
        What counts.
    plain : callable
        Makes arrays of a library's own class of those that report.
    xp : namespace
        Makes arrays that report.
    """

    def counted(kernel: Kernel) -> Kernel:
        def run(t: int, *buffers: Any) -> None:
            counter.add()
            kernel.run(t, *map(plain, buffers))

        # The loops that are not compiled, whose products can be counted.
        return kernel._replace(
            run=run,
            empty=lambda shape, dtype: xp.empty(shape, dtype=dtype),
            forward=loops.forward,
            backward=loops.backward,
            single=loops.single,
        )

    def wrap_find(find: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **options: Any) -> Any:
            kernel = find(*args, **options)
            return None if kernel is None else counted(kernel)

        return wrapped

    def wrap_stream(_: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(cell: Any, x_t: Any, *, xp: Any) -> Any:
            kernel = find(cell, "single", x_t, masked=False, xp=xp)
            return None if kernel is None else around(cell, counted(kernel))

        return wrapped

    return {"find": wrap_find, "stream": wrap_stream}
