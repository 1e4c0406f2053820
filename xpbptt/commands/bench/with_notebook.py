"""The functions of ``xpbptt.notebook``, on the same library as the net.

They also compute a prediction in each step; it is made as small as it can be, n_y = 1.
"""

from typing import Any

import numpy as np

from xpbptt import notebook
from xpbptt._arrays.host import to_numpy
from xpbptt.commands.bench.contestant import Contestant, Values
from xpbptt.commands.bench.problem import Problem
from xpbptt.commands.bench.timing import clock

MOST = 5  # runs: where the others take milliseconds these may take a second
ORDER = "ifco"  # the notebook's letters for the gates in the order of the rows


def make(problem: Problem) -> Contestant | str:
    """Return the notebook's functions, or why they do not compute this row."""
    if problem.case.cell == "gru":
        return "no GRU"
    if problem.case.kind == "masked":
        return "no masks"
    if problem.case.kind == "infer":
        return "no inference"  # its forward pass always keeps what the backward pass needs
    build = _stream if problem.case.streamed else _sequence
    run, values = build(problem, problem.to_device(_parameters(problem)))
    ticks = clock(problem.backend, on_gpu=problem.on_gpu)
    most = None if problem.case.streamed else MOST
    return Contestant(run, values, ticks, "xpbptt.notebook", most)


def _parameters(problem: Problem) -> dict[str, Any]:
    """Return the parameters by the notebook's names."""
    (weights,) = problem.params
    bias = (weights.bias_ih + weights.bias_hh)[:, None]
    prediction = np.zeros((1, problem.case.size), dtype=bias.dtype), np.zeros_like(bias[:1])
    if problem.case.cell == "rnn":
        Wya, by = prediction
        names = {"Wax": weights.weight_ih, "Waa": weights.weight_hh, "ba": bias}
        return {**names, "Wya": Wya, "by": by}
    both = np.concatenate([weights.weight_hh, weights.weight_ih], axis=1)
    parameters = dict(zip(("Wy", "by"), prediction, strict=True))
    parameters |= {f"W{g}": W for g, W in zip(ORDER, np.split(both, 4), strict=True)}
    return parameters | {f"b{g}": b for g, b in zip(ORDER, np.split(bias, 4), strict=True)}


def _sequence(problem: Problem, parameters: dict[str, Any]) -> Any:
    x, da = (
        problem.to_device(np.ascontiguousarray(np.transpose(array, (2, 1, 0))))
        for array in (problem.x, problem.dy)
    )
    a0 = x[:, :, 0] * 0
    lstm = problem.case.cell == "lstm"

    def run() -> Any:
        if lstm:
            a, _, _, caches = notebook.lstm_forward(x, a0, parameters)
            return a, notebook.lstm_backward(da, caches)
        a, _, caches = notebook.rnn_forward(x, a0, parameters)
        return a, notebook.rnn_backward(da, caches)

    def values(result: Any) -> Values:
        a, gradients = result
        d = {name: to_numpy(array) for name, array in gradients.items()}
        named = {"y": to_numpy(a).transpose(2, 1, 0), "dx": d["dx"].transpose(2, 1, 0)}
        if not lstm:
            return named | {"dW_ih": d["dWax"], "dW_hh": d["dWaa"], "db_ih": d["dba"][:, 0]}
        dW = np.concatenate([d[f"dW{gate}"] for gate in ORDER])
        db = np.concatenate([d[f"db{gate}"] for gate in ORDER])[:, 0]
        n_a = problem.case.size
        return named | {"dW_hh": dW[:, :n_a], "dW_ih": dW[:, n_a:], "db_ih": db}

    return run, values


def _stream(problem: Problem, parameters: dict[str, Any]) -> Any:
    steps = [problem.to_device(np.ascontiguousarray(x_t.T)) for x_t in problem.x]
    zeros = steps[0] * 0
    lstm = problem.case.cell == "lstm"

    def run() -> Any:
        a = c = zeros
        for xt in steps:
            if lstm:
                a, c, _, _ = notebook.lstm_cell_forward(xt, a, c, parameters)
            else:
                a, _, _ = notebook.rnn_cell_forward(xt, a, parameters)
        return (a, c) if lstm else (a,)

    def values(state: Any) -> Values:
        return {name: to_numpy(part).T for name, part in zip("hc", state, strict=False)}

    return run, values
