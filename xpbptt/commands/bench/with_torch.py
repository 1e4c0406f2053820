"""``torch.nn.RNN``, ``GRU`` and ``LSTM``; ``LSTMCell`` and its like for a stream.

What is trained is trained by autograd; the rest runs in inference mode.
"""

from importlib import import_module
from typing import Any

from xpbptt.commands.bench.contestant import Contestant, Values
from xpbptt.commands.bench.problem import Problem
from xpbptt.commands.bench.timing import host_clock, torch_clock
from xpbptt.interop.torch import to_state_dict


def make(problem: Problem) -> Contestant:
    """Return torch, on the GPU where xpbptt computes there and torch can."""
    torch = import_module("torch")
    on_gpu = problem.on_gpu and torch.cuda.is_available()
    torch.backends.cudnn.allow_tf32 = False  # its default rounds the factors to 10 bits
    device = torch.device("cuda" if on_gpu else "cpu")
    build = _stream if problem.case.streamed else _infer
    if problem.case.trained:
        build = _sequence
    run, values = build(torch, problem, device)
    clock = torch_clock() if on_gpu else host_clock()
    return Contestant(run, values, clock, f"torch {torch.__version__} on {device.type}")


def _module(torch: Any, problem: Problem, device: Any, kind: str, suffix: str) -> Any:
    """Return a module with the weights of the problem."""
    case = problem.case
    make_module = getattr(torch.nn, case.cell.upper() + kind)
    module = make_module(case.size, case.size, dtype=getattr(torch, case.dtype), device=device)
    state_dict = to_state_dict(problem.params)
    named = {name.removesuffix(suffix): array for name, array in state_dict.items()}
    module.load_state_dict({name: torch.tensor(array) for name, array in named.items()})
    return module


def _sequence(torch: Any, problem: Problem, device: Any) -> Any:
    module = _module(torch, problem, device, "", "")
    x = torch.tensor(problem.x, device=device).requires_grad_()
    dy = torch.tensor(problem.dy, device=device)
    wanted = [x, *module.parameters()]
    lengths = None if problem.lengths is None else torch.tensor(problem.lengths)
    nested = torch.nn.utils.rnn

    def run() -> Any:
        if lengths is None:
            y, _ = module(x)
        else:
            packed = nested.pack_padded_sequence(x, lengths, enforce_sorted=False)
            y, _ = nested.pad_packed_sequence(module(packed)[0], total_length=x.shape[0])
        return y, torch.autograd.grad(y, wanted, dy)

    def values(result: Any) -> Values:
        y, grads = result
        arrays = [array.detach().cpu().numpy() for array in (y, *grads)]
        return dict(zip(("y", "dx", "dW_ih", "dW_hh", "db_ih", "db_hh"), arrays, strict=True))

    return run, values


def _infer(torch: Any, problem: Problem, device: Any) -> Any:
    module = _module(torch, problem, device, "", "")
    x = torch.tensor(problem.x, device=device)

    def run() -> Any:
        with torch.inference_mode():
            return module(x)

    def values(result: Any) -> Values:
        y, state = result
        parts = [part[0] for part in state] if isinstance(state, tuple) else [state[0]]
        return {name: part.cpu().numpy() for name, part in zip("yhc", (y, *parts), strict=False)}

    return run, values


def _stream(torch: Any, problem: Problem, device: Any) -> Any:
    module = _module(torch, problem, device, "Cell", "_l0")
    inputs = list(torch.tensor(problem.x, device=device))
    zeros = torch.zeros_like(inputs[0])
    start = (zeros, zeros) if problem.case.cell == "lstm" else zeros

    def run() -> Any:
        state = start
        with torch.inference_mode():
            for x_t in inputs:
                state = module(x_t, state)
        return state

    def values(state: Any) -> Values:
        parts = state if isinstance(state, tuple) else (state,)
        return {name: part.cpu().numpy() for name, part in zip("hc", parts, strict=False)}

    return run, values
