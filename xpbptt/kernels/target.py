"""The contract of a target: a compiler of programs, and how its arrays are made and multiplied.

A target is one value of `Target`. To add one, write a module with such a value and name the module
in `TARGETS` of `xpbptt.kernels.find`, beside the namespace whose arrays it takes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from xpbptt._arrays.types import AnyArray
from xpbptt.kernels.program import Program

Run = Callable[..., None]


class Target(NamedTuple):
    """How cells are compiled and run for the arrays of one library.

    Attributes
    ----------
    name : str
        Its name in messages.
    dtypes : tuple of dtype
        The dtypes that it compiles for.
    compile : callable
        ``compile(program, dtype) → run``, with the dtype's name. ``run(t, *buffers)`` computes step
        t of the buffers, in the order of `Program.buffers`: those that are only read first.
    forward, backward : callable
        The loop over time around a kernel, see `xpbptt.kernels.loops`.
    single : callable
        ``single(run, names, given) → step``, the step of a stream, see `xpbptt.kernels.loops`.
    multiply : callable
        ``multiply(left, right, out)`` writes the product of two matrices to `out`.
    empty : callable
        ``empty(shape, dtype) → array``, not initialised.
    plain : callable
        ``plain(array) → array`` in the layout that `run` takes, copied if necessary.
    at_once : int or None
        The largest buffer of the gates, in elements, that fits the cache; None for no limit.
    """

    name: str
    dtypes: tuple[Any, ...]
    compile: Callable[[Program, str], Run]
    forward: Callable[..., None]
    backward: Callable[..., None]
    single: Callable[..., Callable[..., None]]
    multiply: Callable[[AnyArray, AnyArray, AnyArray], None]
    empty: Callable[..., AnyArray]
    plain: Callable[[AnyArray], AnyArray]
    at_once: int | None = None
