"""The loop `stepwise`: from Python, a kernel and a product a step."""

from collections.abc import Callable
from functools import partial
from typing import Any

from xpbptt._arrays.norms import clip
from xpbptt._arrays.types import AnyArray, Namespace
from xpbptt.kernels.programs import Task
from xpbptt.kernels.target import Buffers, HandBack, Kernel, Loop, Run

FEW = 4  # below so many steps a copy of the weights does not pay


def loop(
    compile_: Callable[[Task, str], Run],
    plain: Callable[[AnyArray], AnyArray],
    *,
    xp: Namespace,
    at_once: int | None = None,
) -> Loop:
    """Return the loop around a compiler of single steps."""
    return Loop(
        name="stepwise",
        compile=compile_,
        pack=partial(_pack, plain),
        forward=partial(_forward, xp),
        backward=partial(_backward, xp, plain),
        at_once=at_once,
    )


def _pack(plain: Callable[[AnyArray], AnyArray], params: Any, steps: int) -> AnyArray:
    """Return W_hhᵀ, contiguous where so many products pay for the copy."""
    weight = params.weight_hh.T
    return weight if steps < FEW else plain(weight)


def _forward(
    xp: Namespace, kernel: Kernel, x: AnyArray, params: Any, weight: AnyArray, buffers: Buffers
) -> None:
    """Run the steps in order; before each, multiply the state by the weights."""
    steps, batch, inputs = x.shape
    u = xp.reshape(x, (steps * batch, inputs)).dot(params.weight_ih.T)
    v = xp.empty((batch, u.shape[1]), dtype=u.dtype)
    known = buffers | {"u": u.reshape(steps, batch, -1), "v": v}
    given = [known[name] for name in kernel.task.program.names]
    for t, row in enumerate(list(buffers[kernel.task.hidden][:-1, ...])):
        _read(kernel.task, buffers, t, row, xp=xp).dot(weight, v)
        kernel.run(t, *given)


def _read(task: Task, buffers: Buffers, t: int, row: AnyArray, *, xp: Namespace) -> AnyArray:
    """Return what the product of a step reads of the state before it."""
    if task.initial:
        row = xp.where(buffers["reset"][t, :, None], buffers[task.initial[0]], row)
    return row * buffers["factors"] if task.drops else row


def _backward(
    xp: Namespace,
    plain: Callable[[AnyArray], AnyArray],
    kernel: Kernel,
    params: Any,
    buffers: Buffers,
    hand_back: HandBack,
) -> None:
    """Run the steps from the last to the first; after each, multiply what goes back."""
    task, weight = kernel.task, plain(params.weight_hh)
    given = [buffers[name] for name in task.program.names]
    carried = [buffers[name] for name in task.carried]
    returned = [buffers[name] for name in task.returned]
    for part in returned:
        part[...] = 0
    for t, row in reversed(list(enumerate(buffers[task.record]))):
        kernel.run(t, *given)
        row.dot(weight, carried[0])
        if task.drops:
            carried[0][...] *= buffers["factors"]
        if hand_back.clip is not None:
            mask = buffers.get("mask")
            column = None if mask is None else mask[t, :, None]
            _clip(carried, hand_back.clip, column, xp=xp)
        if task.initial:
            _restart(carried, buffers["reset"][t, :, None], returned, xp=xp)
        if hand_back.cuts(t):
            for part in carried:
                part[...] = 0


def _clip(carried: list[AnyArray], limit: float, mask: AnyArray | None, *, xp: Namespace) -> None:
    """Clip the gradient of the state, where the step counts."""
    dh, direct, *rest = carried
    whole = [dh + direct, *rest]
    parts, _ = clip(whole, limit, -1, xp=xp)
    if mask is not None:
        parts = [xp.where(mask, a, b) for a, b in zip(parts, whole, strict=True)]
    direct[...] = 0
    for buffer, part in zip((dh, *rest), parts, strict=True):
        buffer[...] = part


def _restart(
    carried: list[AnyArray], again: AnyArray, returned: list[AnyArray], *, xp: Namespace
) -> None:
    """Hand the gradient of the state to the initial state where the step is reset."""
    first, *others = returned
    for part, total in zip(carried, (first, first, *others), strict=True):
        zero = xp.zeros_like(part)
        total[...] += xp.where(again, part, zero)
        part[...] = xp.where(again, zero, part)


def single(kernel: Kernel, given: tuple[str, ...]) -> Callable[..., None]:
    """Return the step of a stream.

    Parameters
    ----------
    kernel : Kernel
        The kernel of a step, of which u and v are the two products.
    given : tuple of str
        The arguments of the step, see `arguments` in `kernels.programs`.
    """
    order = [("u", "v", *given).index(name) for name in kernel.task.program.names]
    x, weight_ih, weight_hh = map(given.index, ("x", "weight_ih", "weight_hh"))
    h = given.index(kernel.task.hidden)

    def step(x_t: AnyArray, params: Any, state: Any, new: Any) -> None:
        arrays = (x_t, *params[:-1], *params.extra, *state, *new)
        u, v = arrays[x].dot(arrays[weight_ih].T), arrays[h].dot(arrays[weight_hh].T)
        everything = (u, v, *arrays)
        kernel.run(0, *[everything[place] for place in order])

    return step
