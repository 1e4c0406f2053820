"""The contract of a target: a compiler of programs, and how its arrays are made and multiplied.

A target is one value of `Target`. To add one, write a module with such a value and name the module
in `TARGETS` of `xpbptt.kernels.find`, beside the namespace whose arrays it takes.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from xpbptt._arrays.types import AnyArray
from xpbptt.kernels.programs import Task

Run = Callable[..., None]
Buffers = dict[str, Any]  # arrays by the names of a program's buffers


class Kernel(NamedTuple):
    """A compiled program.

    Attributes
    ----------
    run : callable
        What the target made of it.
    task : Task
        The program.
    dtype : str
        The dtype that it is compiled for.
    """

    run: Run
    task: Task
    dtype: str


class HandBack(NamedTuple):
    """What is done to the gradient of the state that a step hands to the step before.

    Attributes
    ----------
    first : int
        The number of the first step, counted from where the layer starts to read.
    truncate : int or None
        After every so many steps the gradient is cut off.
    clip : float or None
        The largest norm of the gradient of one sequence.
    """

    first: int
    truncate: int | None
    clip: float | None

    def cuts(self, t: int) -> bool:
        """Tell whether nothing is handed back from step `t`."""
        step = self.first + t
        return bool(self.truncate and step and step % self.truncate == 0)


class Loop(NamedTuple):
    """How the steps of a segment are run.

    Attributes
    ----------
    name : str
        The name of the engine that it makes: ``"sequence"``, ``"stepwise"`` or ``"graph"``.
    compile : callable
        ``compile(task, dtype) → run``, with the dtype's name. Of the kinds "recompute" and "single"
        ``run(t, *buffers)`` computes step t of the buffers, in the order of `Program.names`; of the
        others it is what `forward` and `backward` take.
    pack : callable
        ``pack(gates, params, steps) → weights``: the form of the weights of so many gates that
        `forward` reads, if so many steps are to be run.
    forward : callable
        ``forward(kernel, x, params, weights, buffers)`` runs all steps of x (T, B, I) in order. The
        buffers of the states have T + 1 rows, the first of which is given; if the loop
        `alternates`, or two rows, which then hold the states of even and of odd steps.
    backward : callable
        ``backward(kernel, params, buffers, hand_back)`` runs all steps from the last to the first.
        The buffers that are carried hold the gradient of the state, before and after; those that
        are returned are written.
    at_once : int or None
        The largest buffer of the gates, in elements, of which `forward` makes good use.
    alternates : bool
        Whether `forward` can do with the states of two steps.
    parts : int or None
        The most chunks of a pass that keeps nothing, where a call costs more than the memory
        of a longer chunk. Default: there are as many as it takes for a chunk to stay in the cache.
    refuse : callable or None
        ``refuse(kernels, hidden, batch) → why not``: why these kernels, by kind, cannot run a pass
        over so many units and sequences, empty where they can. Default: they can run every pass.
    scratch : callable or None
        ``scratch(kernels, hidden, batch, directions) → bytes`` that the largest of these kernels
        takes for itself, for one of so many directions. Default: none.
    pair : callable or None
        ``pair(one, other) → whether it has``: run two calls at once, both forward or both back, if
        it can; neither reads what the other writes. Default: they are run one after the other.
    """

    name: str
    compile: Callable[[Task, str], Run]
    pack: Callable[[int, Any, int], Any]
    forward: Callable[[Kernel, AnyArray, Any, Any, Buffers], None]
    backward: Callable[[Kernel, Any, Buffers, HandBack], None]
    at_once: int | None = None
    alternates: bool = False
    parts: int | None = None
    refuse: Callable[[Mapping[Any, Kernel], int, int], str] | None = None
    scratch: Callable[[Mapping[Any, Kernel], int, int, int], int] | None = None
    pair: Callable[["Call", "Call"], bool] | None = None


class Call(NamedTuple):
    """A call of a loop that is yet to be made.

    Attributes
    ----------
    run : callable
        The loop's `forward` or `backward`.
    given : tuple
        What it takes.
    pair : callable or None
        The loop's `pair`.
    """

    run: Run
    given: tuple[Any, ...]
    pair: Callable[["Call", "Call"], bool] | None = None


class Target(NamedTuple):
    """How cells are compiled and run for the arrays of one library.

    Attributes
    ----------
    name : str
        Its name in messages.
    dtypes : tuple of dtype
        The dtypes that it compiles for.
    loops : tuple of Loop
        How steps are run, the fastest first, then those that are chosen by hand only.
    single : callable
        ``single(kernel, arguments) → step``: ``step(x_t, params, state, new)`` writes the state
        after the step to `new`.
    multiply : callable
        ``multiply(left, right, out)`` writes the product of two matrices to `out`.
    empty : callable
        ``empty(shape, dtype, like=array) → array``, not initialised, on the device of `like`.
    plain : callable
        ``plain(array) → array`` in the layout that `run` takes, copied if necessary.
    at_once : int or None
        The largest buffer of the gates, in elements, that fits the cache; None for no limit.
    accumulate : callable or None
        ``accumulate(params, x, before, records, sums) → gradients of the parameters, and of x``:
        the products over all steps, with the part of the state that the product reads before each.
        They are added to `sums`, which is returned, if it is not None. Default: the products of
        the recurrence.
    choose : callable or None
        ``choose(where, initial, states)``: (T, B, H), the rows of `initial` (B, H) where `where`
        (T, B, 1) is True, elsewhere those of `states`. Default: `where` of the namespace.
    adds : bool
        Whether its programs add up the gradients of a cell's own parameters over the steps.
    stream : callable or None
        ``stream(kernel, params, state) → stepper`` for the step of all layers: `step()` reads its
        `x` and returns one of its `outputs`, `state` is a copy of the state and can be set.
        Default: a stream goes from layer to layer.
    """

    name: str
    dtypes: tuple[Any, ...]
    loops: tuple[Loop, ...]
    single: Callable[..., Callable[..., None]]
    multiply: Callable[[AnyArray, AnyArray, AnyArray], None]
    empty: Callable[..., AnyArray]
    plain: Callable[[AnyArray], AnyArray]
    at_once: int | None = None
    accumulate: Callable[..., tuple[Any, AnyArray]] | None = None
    choose: Callable[..., AnyArray] | None = None
    adds: bool = False
    stream: Callable[..., Any] | None = None
