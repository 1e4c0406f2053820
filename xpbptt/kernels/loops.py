"""The loop `stepwise`: from Python, a kernel and a product a step."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from xpbptt._arrays.norms import clip
from xpbptt._arrays.types import AnyArray, Namespace
from xpbptt.kernels.places import DM, DPROJECTED, PROJECTED, M
from xpbptt.kernels.programs import Task
from xpbptt.kernels.target import Buffers, HandBack, Kernel, Loop, Run

Plain = Callable[[AnyArray], AnyArray]

FEW = 4  # below so many steps a copy of the weights does not pay


def loop(
    compile_: Callable[[Task, str], Run],
    plain: Plain,
    *,
    xp: Namespace,
    at_once: int | None = None,
) -> Loop:
    """Return the loop around a compiler of single steps."""
    return Loop(
        name="stepwise",
        compile=partial(_compiled, compile_),
        pack=partial(_pack, plain),
        forward=partial(_forward, xp, plain),
        backward=partial(_backward, xp, plain),
        at_once=at_once,
    )


class Projected(NamedTuple):
    """The compiled programs of a cell with a projection, each of which computes one step."""

    cell: Run
    projection: Run

    def __call__(self, t: int, *buffers: AnyArray) -> None:
        """Compute step `t` of the cell."""
        self.cell(t, *buffers)


def _compiled(compile_: Callable[[Task, str], Run], task: Task, dtype: str) -> Any:
    run = compile_(task, dtype)
    return Projected(run, compile_(task.projection, dtype)) if task.projection else run


def _pack(plain: Plain, gates: int, params: Any, steps: int) -> Any:
    """Return W_hhᵀ, contiguous where the copy pays; None where no gate has a product."""
    del gates
    if isinstance(params.weight_hh, tuple):
        return None
    weight = params.weight_hh.T
    return weight if steps < FEW else plain(weight)


def _forward(
    xp: Namespace,
    plain: Plain,
    kernel: Kernel,
    x: AnyArray,
    params: Any,
    weight: Any,
    buffers: Buffers,
) -> None:
    """Run the steps in order; before each, multiply the state by the weights."""
    steps, batch, inputs = x.shape
    u = xp.reshape(x, (steps * batch, inputs)).dot(params.weight_ih.T)
    known = buffers | {"u": u.reshape(steps, batch, -1)}
    if weight is not None:
        known["v"] = v = xp.empty((batch, weight.shape[1]), dtype=u.dtype)
    given = [known[name] for name in kernel.task.program.names]
    step = _ahead(kernel, given, plain, params, buffers)
    for t, row in enumerate(list(buffers[kernel.task.read][:-1, ...])):
        if weight is not None:
            multiplied(kernel.task, buffers, t, row, xp=xp).dot(weight, v)
        step(t)


def _ahead(
    kernel: Kernel, given: list[AnyArray], plain: Plain, params: Any, buffers: Buffers
) -> Callable[[int], None]:
    """Return what computes a step forward after the product, and the projection if there is one."""
    run: Any = kernel.run
    outer = kernel.task.projection
    if outer is None:
        return lambda t: run(t, *given)
    weight, around = plain(params.extra.weight_hr).T, [buffers[name] for name in outer.names]
    m, out = buffers[M.name], buffers[PROJECTED.name]

    def step(t: int) -> None:
        run(t, *given)
        m.dot(weight, out)
        run.projection(t, *around)

    return step


def _behind(
    kernel: Kernel, given: list[AnyArray], plain: Plain, params: Any, buffers: Buffers
) -> Callable[[int], None]:
    """Return what computes a step back before the product, and the projection if there is one."""
    run: Any = kernel.run
    outer = kernel.task.projection
    if outer is None:
        return lambda t: run(t, *given)
    weight, around = plain(params.extra.weight_hr), [buffers[name] for name in outer.names]
    dprojected, dm = buffers[DPROJECTED.name], buffers[DM.name]

    def step(t: int) -> None:
        run.projection(t, *around)
        dprojected[t].dot(weight, dm)
        run(t, *given)

    return step


def multiplied(task: Task, buffers: Buffers, t: int, row: AnyArray, *, xp: Namespace) -> AnyArray:
    """Return what the product of a step reads of the state before it."""
    if task.restored:
        row = xp.where(buffers["reset"][t, :, None], buffers[task.restored], row)
    return row * buffers["factors"] if task.drops else row


def _backward(
    xp: Namespace,
    plain: Plain,
    kernel: Kernel,
    params: Any,
    buffers: Buffers,
    hand_back: HandBack,
) -> None:
    """Run the steps from the last to the first; after each, multiply what goes back."""
    task = kernel.task
    weight = plain(params.weight_hh) if task.recurrent else None
    given = [buffers[name] for name in task.program.names]
    carried = [buffers[name] for name in task.carried]
    returned = [buffers[name] for name in task.returned]
    for part in returned:
        part[...] = 0
    step = _behind(kernel, given, plain, params, buffers)
    for t, row in reversed(list(enumerate(buffers[task.record]))):
        step(t)
        if weight is not None:
            row.dot(weight, carried[0])
        if task.drops:
            carried[0][...] *= buffers["factors"]
        if hand_back.clip is not None:
            mask = buffers.get("mask")
            column = None if mask is None else mask[t, :, None]
            clip_carried(task, carried, hand_back.clip, column, xp=xp)
        if task.returned:
            restart(carried, buffers["reset"][t, :, None], returned, xp=xp)
        if hand_back.cuts(t):
            for part in carried:
                part[...] = 0


def clip_carried(
    task: Task, carried: list[AnyArray], limit: float, mask: AnyArray | None, *, xp: Namespace
) -> None:
    """Clip the gradient of the state, where the step counts."""
    whole = carried
    if task.recurrent:  # the product takes in the direct part
        whole = [carried[0], *carried[2:]]
        carried[0] += carried[1]
        carried[1][...] = 0
    parts, _ = clip(whole, limit, -1, xp=xp)
    for buffer, part in zip(whole, parts, strict=True):
        buffer[...] = part if mask is None else xp.where(mask, part, buffer)


def restart(
    carried: list[AnyArray], again: AnyArray, returned: list[AnyArray], *, xp: Namespace
) -> None:
    """Hand the gradient of the state to the initial state where the step is reset."""
    for part, total in zip(carried, returned, strict=True):
        zero = xp.zeros_like(part)
        total[...] += xp.where(again, part, zero)
        part[...] = xp.where(again, zero, part)


def flat(params: Any) -> tuple[AnyArray, ...]:
    """Return the arrays of a layer's parameters in order, without those that a cell lacks."""
    there = [each for each in params[:-1] if not isinstance(each, tuple)]
    return (*there, *params.extra)


def single(kernel: Kernel, given: tuple[str, ...]) -> Callable[..., None]:
    """Return the step of a stream.

    Parameters
    ----------
    kernel : Kernel
        The kernel of a step, of which u and v are the products.
    given : tuple of str
        The arguments of the step, see `arguments` in `kernels.programs`.
    """
    task = kernel.task
    products = ("u", "v") if task.recurrent else ("u",)
    made = (*products, M.name) if task.projects else products
    order = [(*made, *given).index(name) for name in task.program.names]
    pairs = [(given.index("x"), given.index("weight_ih"))]
    if task.recurrent:
        pairs.append((given.index(task.read), given.index("weight_hh")))

    def step(x_t: AnyArray, params: Any, state: Any, new: Any) -> None:
        arrays = (x_t, *flat(params), *state, *new)
        found = [arrays[row].dot(arrays[weight].T) for row, weight in pairs]
        if task.projects:
            found.append(found[0][:, : found[0].shape[1] // task.gates].copy())
        everything = (*found, *arrays)
        kernel.run(0, *[everything[place] for place in order])
        if task.projects:
            new[0][...] = found[-1].dot(params.extra.weight_hr.T)

    return step
