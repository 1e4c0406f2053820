"""xpbptt as a contestant."""

from typing import Any

import xpbptt
from xpbptt._arrays.host import to_numpy
from xpbptt.bptt.engines.engine import choose
from xpbptt.commands.bench.contestant import Contestant, Values
from xpbptt.commands.bench.problem import Problem
from xpbptt.commands.bench.timing import clock
from xpbptt.kernels import Form, Kind


def make(problem: Problem) -> Contestant:
    """Return xpbptt on the library of the problem."""
    build = {"infer": _infer, "step": _steps, "stream": _stream}.get(problem.case.kind, _sequence)
    run, values = build(problem)
    ticks = clock(problem.backend, on_gpu=problem.on_gpu)
    return Contestant(run, values, ticks, f"xpbptt {xpbptt.__version__}")


def engine(problem: Problem) -> str:
    """Return the name of the engine that runs the steps."""
    (params,), x = problem.to_device((problem.params, problem.x))
    case = problem.case
    kinds: tuple[Kind, ...] = ("record", "back")
    if not case.trained:
        kinds = ("single",) if case.streamed else ("advance",)
    form = Form(masked=case.kind == "masked")
    return choose(problem.net.cell, kinds, params, x, form=form, xp=problem.xp).name


def _sequence(problem: Problem) -> Any:
    net, xp = problem.net, problem.xp
    params, x, dy = problem.to_device((problem.params, problem.x, problem.dy))
    mask = None
    if problem.lengths is not None:
        mask = xpbptt.length_mask(xp.asarray(problem.lengths), problem.case.steps)

    def run() -> Any:
        y, _, cache = net.forward(params, x, mask=mask)
        return y, net.backward(cache, dy)

    def values(result: Any) -> Values:
        y, grads = result
        (weights,) = grads.params
        arrays = (y, grads.x, *weights[:4])
        return dict(zip(("y", "dx", "dW_ih", "dW_hh", "db_ih", "db_hh"), arrays, strict=True))

    return run, lambda result: {name: to_numpy(a) for name, a in values(result).items()}


def _infer(problem: Problem) -> Any:
    params, x = problem.to_device((problem.params, problem.x))

    def values(result: Any) -> Values:
        y, (state,) = result
        return {name: to_numpy(a) for name, a in {"y": y, **state._asdict()}.items()}

    return lambda: problem.net.infer(params, x), values


def _steps(problem: Problem) -> Any:
    net = problem.net
    params, x = problem.to_device((problem.params, problem.x))
    inputs = [x[t, ...] for t in range(problem.case.steps)]
    _, like = net.step(params, inputs[0])
    zeros = tuple(type(part)(*(array * 0 for array in part)) for part in like)

    def run() -> Any:
        state = zeros
        for x_t in inputs:
            _, state = net.step(params, x_t, state)
        return state

    return run, _parts


def _stream(problem: Problem) -> Any:
    params, x = problem.to_device((problem.params, problem.x))
    inputs = [x[t, ...] for t in range(problem.case.steps)]
    stream = problem.net.stream(params, batch=problem.case.batch)

    def run() -> Any:
        stream.reset()
        for x_t in inputs:
            stream(x_t)
        return stream.state

    return run, _parts


def _parts(state: Any) -> Values:
    """Return the state of the only layer."""
    return {name: to_numpy(a) for name, a in state[0]._asdict().items()}
