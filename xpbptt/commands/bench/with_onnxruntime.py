"""onnxruntime, on the model that `xpbptt.interop.onnx.save` writes.

It computes on the CPU, from NumPy's arrays; of a stream each step is a call.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from xpbptt.commands.bench.contestant import Contestant, Values
from xpbptt.commands.bench.problem import Problem
from xpbptt.commands.bench.timing import host_clock
from xpbptt.interop import onnx


def make(problem: Problem) -> Contestant | str:
    """Return onnxruntime, or why it does not compute this row."""
    if problem.case.trained:
        return "no training"
    if problem.case.dtype != "float32":
        return "float32 only"
    runtime = import_module("onnxruntime")
    session = _session(runtime, problem)
    run = (_stream if problem.case.streamed else _infer)(session, problem)

    def values(result: Any) -> Values:
        names = "hc" if problem.case.streamed else "yhc"
        return {
            name: part[0] if name in "hc" else part
            for name, part in zip(names, result, strict=False)
        }

    return Contestant(run, values, host_clock(), f"onnxruntime {runtime.__version__} on cpu")


def _session(runtime: Any, problem: Problem) -> Any:
    """Return a session with the weights of the problem, on as many threads as it may use."""
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = problem.threads
    # Else its idle threads keep the cores busy while the others have their turn.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        onnx.save(problem.net, problem.params, path)
        model = path.read_bytes()
    return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _infer(session: Any, problem: Problem) -> Callable[[], Any]:
    zeros = problem.x[:1] * 0
    given = {"x": problem.x, "h0_l0": zeros}
    if problem.case.cell == "lstm":
        given["c0_l0"] = zeros
    return lambda: session.run(None, given)


def _stream(session: Any, problem: Problem) -> Callable[[], Any]:
    inputs = [problem.x[t : t + 1] for t in range(problem.case.steps)]
    zeros = problem.x[:1] * 0
    lstm = problem.case.cell == "lstm"
    names = ["y", "hn_l0", "cn_l0"] if lstm else ["y", "hn_l0"]

    def run() -> Any:
        h = c = zeros
        for x_t in inputs:
            if lstm:
                _, h, c = session.run(names, {"x": x_t, "h0_l0": h, "c0_l0": c})
            else:
                _, h = session.run(names, {"x": x_t, "h0_l0": h})
        return (h, c) if lstm else (h,)

    return run
