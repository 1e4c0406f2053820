"""The target Numba, for NumPy's arrays: kernels by Numba, products by NumPy's BLAS.

For one small sequence the loop over time is compiled, too, see `xpbptt.kernels.numba.loops`.
"""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core.compiler_lock import global_compiler_lock

from xpbptt._arrays.once import hold_over_fork, once
from xpbptt._arrays.types import AnyArray
from xpbptt.kernels import loops
from xpbptt.kernels.numba import loops as inner
from xpbptt.kernels.numba.kernel import compile_
from xpbptt.kernels.target import Target

Given = tuple[AnyArray, ...]
Run = Callable[..., None]

hold_over_fork(global_compiler_lock)

log = logging.getLogger("xpbptt")

# BLAS may compute with memory beside a small matrix, and NumPy would warn of its values.
quiet = np.errstate(all="ignore")


def plain(array: Any) -> Any:
    """Return the array as a kernel takes it: contiguous, aligned, writable, not a subclass."""
    if type(array) is np.ndarray and array.flags.carray:
        return array
    return np.require(array, requirements=["C", "A", "W", "E"])


@quiet
def forward(run: Run, given: Given, rows: AnyArray, weight: AnyArray, product: AnyArray) -> None:
    """Run the time loop of `loops`, compiled if it is small."""
    whole = _whole(inner.forward, run) if _small(rows, weight) else None
    if whole is None:
        loops.forward(run, given, rows, weight, product)
    else:
        whole(rows, plain(weight), product, *given)


@quiet
def backward(
    run: Run,
    given: Given,
    rows: AnyArray,
    weight: AnyArray,
    product: AnyArray,
    after: Callable[[int], None] | None = None,
) -> None:
    """Run the time loop of `loops`, compiled if it is small and nothing comes between."""
    small = after is None and _small(rows, weight)
    whole = _whole(inner.backward, run) if small else None
    if whole is None:
        loops.backward(run, given, rows, weight, product, after)
    else:
        whole(rows, plain(weight), product, *given)


def single(run: Run, names: tuple[str, ...], given: tuple[str, ...]) -> Run:
    """Return the step of a stream, compiled as a whole for one small sequence."""
    large = quiet(loops.single(run, names, given))
    small = _whole(inner.single, run, names, given) or large

    def step(x: AnyArray, weight_ih: AnyArray, *others: AnyArray) -> None:
        function = small if x.shape[0] == 1 and weight_ih.size <= inner.SMALL else large
        try:
            function(x, weight_ih, *others)
        except TypeError:  # an array is not plain, which Numba finds before it runs
            function(*map(plain, (x, weight_ih, *others)))

    return step


def _small(rows: AnyArray, weight: AnyArray) -> bool:
    """Tell whether the compiled loop is the faster one."""
    return bool(rows.shape[1] == 1 and weight.size <= inner.SMALL)


@once
def _whole(build: Callable[..., Run], *around: Any) -> Run | None:
    """Compile a loop around a kernel; if that fails, log a warning and return None."""
    try:
        return build(*around)
    except Exception as error:  # noqa: BLE001 - a compiler may raise anything
        first, _, _ = str(error).strip().partition("\n")
        _warn_once(f"{type(error).__name__}: {first}")
        return None


@once
def _warn_once(reason: str) -> None:
    log.warning("a compiled loop could not be built, so Python runs it, slower: %s", reason)


TARGET = Target(
    name="Numba",
    dtypes=(np.dtype(np.float32), np.dtype(np.float64)),
    compile=compile_,
    forward=forward,
    backward=backward,
    single=single,
    multiply=lambda left, right, out: left.dot(right, out=out),
    empty=np.empty,
    plain=plain,
    at_once=2**19,  # stays in the cache, and is reused from chunk to chunk
)
