"""Kernels for NumPy without a compiler: a program as calls of its functions, all in place.

Nothing is allocated in a time step, and the views of the buffers are made before the time loop.
"""

from collections.abc import Callable
from functools import lru_cache
from threading import get_ident
from typing import Any

import numpy as np

from xpbptt.cells import sigmoid
from xpbptt.kernels import loops
from xpbptt.kernels.program import Program
from xpbptt.kernels.schedule import Call, schedule
from xpbptt.kernels.ufunc_source import constants, source

Array = Any
Given = tuple[Array, ...]

FUNCTIONS: dict[str, Any] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "tanh": np.tanh,
    "exp": np.exp,
    "sigmoid": lambda x, out: np.copyto(out, sigmoid(x, xp=np)),
    "sqrt": np.sqrt,
    "abs": np.abs,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "less": np.less,
    "less_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "equal": np.equal,
    "not_equal": np.not_equal,
    "and": np.logical_and,
    "or": np.logical_or,
    "not": np.logical_not,
}
DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
AT_ONCE = 2**19  # so much stays in the cache, and is no fresh memory each time

# BLAS works on what happens to lie beside small matrices, and NumPy warns of it; and what is masked
# may be infinite until it is dropped.
quiet = np.errstate(all="ignore")

empty = np.empty

LARGE = 2**17  # elements of a product that takes far longer than to make an array for it


def plain(array: Any) -> Any:
    """Return the array as one of NumPy's own class."""
    return array if type(array) is np.ndarray else np.asarray(array)


class Kernel:
    """A program for arrays of a dtype; called, it computes one step.

    Attributes
    ----------
    calls : int
        How many functions of NumPy a step calls.
    dtype : dtype
        The dtype.
    memory : callable
        ``memory(batch, size)`` makes the arrays that a step works in; where there is no time
        ``memory(batch, size, *products)``.
    bind : callable
        ``bind(*buffers)`` returns ``run(t)``, which computes step `t` of these buffers.
    single : callable
        ``single(*memory, *buffers)`` computes the step where there is no time; the buffers are
        those but the products.
    """

    @quiet
    def __init__(self, program: Program, dtype: str) -> None:
        calls = list(map(_without_negative, schedule(program)))
        numbers = constants(calls)
        names: dict[str, Any] = {f"np_{name}": f for name, f in FUNCTIONS.items()}
        names |= {name: np.asarray(float(text), dtype) for text, name in numbers.items()}
        names |= {"empty": np.empty, "copyto": np.copyto, "dtype": np.dtype(dtype)}
        exec(source(program, calls, numbers), names)  # noqa: S102 - the source is our own
        self.calls, self.dtype = len(calls), names["dtype"]
        self.memory: Callable[..., Given] = names["memory"]
        self.bind: Callable[..., Any] = names["bind"]
        self.single: Callable[..., None] = names["single"]

    @quiet
    def __call__(self, t: int, *buffers: Array) -> None:
        """Compute step `t`."""
        self.bind(*buffers)(t)


def _without_negative(call: Call) -> Call:
    """Return a call without `negative`, which in place NumPy 2.4 computes wrongly at some strides.

    Those are 4 numbers of float32 and 8 of float64, as of one gate of four or eight where H is 1.
    """
    if call.operation != "negative":
        return call
    return call._replace(operation="multiply", operands=(*call.operands, -1.0))


kernel = Kernel


@quiet
def forward(run: Kernel, given: Given, rows: Array, weight: Array, product: Array) -> None:
    """Run the time loop of `loops`."""
    loops.forward(run.bind(*given), (), rows, weight, product)


@quiet
def backward(
    run: Kernel,
    given: Given,
    rows: Array,
    weight: Array,
    product: Array,
    after: Callable[[int], None] | None = None,
) -> None:
    """Run the time loop of `loops`."""
    loops.backward(run.bind(*given), (), rows, weight, product, after)


def single(run: Kernel, names: tuple[str, ...], given: tuple[str, ...]) -> Callable[..., None]:
    """Return the step of a stream, see `loops`."""
    places = [given.index(name) for name in names if name in given]
    products = [name for name in names if name not in given]  # u, v or both
    h = loops.first_state(given)

    @lru_cache(maxsize=8)
    def memory(batch: int, rows: int, size: int, thread: int) -> Any:  # noqa: ARG001 - a key of the cache
        pair = {name: np.empty((batch, rows), run.dtype) for name in ("u", "v")}
        work = run.memory(batch, size, *(pair[name] for name in products))
        return (*pair.values(), work)

    @quiet
    def step(*arrays: Array) -> None:
        x, weight_ih, weight_hh, *_ = arrays
        batch, (rows, size) = x.shape[0], weight_hh.shape
        make = memory if batch * rows <= LARGE else memory.__wrapped__  # which keeps nothing
        u, v, work = make(batch, rows, size, get_ident())
        x.dot(weight_ih.T, u)
        arrays[h].dot(weight_hh.T, v)
        run.single(*work, *[arrays[place] for place in places])

    return step
