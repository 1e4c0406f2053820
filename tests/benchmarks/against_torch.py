"""Time forward + backward on NumPy against ``torch.nn``, in one process, runs interleaved.

    OMP_NUM_THREADS=1 python tests/benchmarks/against_torch.py [--cell lstm] [--seconds 3]

Both compute the outputs and the gradients of input, weights and biases in float32. Printed are the
medians in milliseconds, their ratio, and the largest difference of the input gradients. Where
OPENBLAS_CORETYPE is set, unset it and OPENBLAS_L2_SIZE for this command.
"""

import argparse
import os
import time

import numpy as np
import torch

import xpbptt
from xpbptt.interop.torch import from_state_dict

SIZES = [(100, 1, 32), (50, 32, 64), (100, 32, 128), (100, 32, 256)]
NETS = {
    "lstm": (xpbptt.LSTM, torch.nn.LSTM),
    "gru": (xpbptt.GRU, torch.nn.GRU),
    "rnn": (xpbptt.RNN, torch.nn.RNN),
}


def compare(cell: str, steps: int, batch: int, size: int, seconds: float) -> str:
    """Return one line of the table."""
    make, make_torch = NETS[cell]
    net, module = make(size, size), make_torch(size, size)
    params = from_state_dict(module.state_dict())
    random = np.random.default_rng(0)
    x, dy = (random.standard_normal((steps, batch, size), dtype=np.float32) for _ in range(2))
    tensor, upstream = torch.from_numpy(x).requires_grad_(), torch.from_numpy(dy)

    def ours() -> xpbptt.Gradients:
        _, _, cache = net.forward(params, x)
        return net.backward(cache, dy)

    def theirs() -> None:
        module.zero_grad()
        tensor.grad = None
        module(tensor)[0].backward(upstream)

    times = {ours: [], theirs: []}
    gradient, _ = ours().x, theirs()
    difference = np.abs(gradient - tensor.grad.numpy()).max()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[ours]) < 5:
        for function, durations in times.items():
            start = time.perf_counter()
            function()
            durations.append(time.perf_counter() - start)
    mine, torchs = (1e3 * float(np.median(durations)) for durations in times.values())
    shape = f"{steps:5} {batch:4} {size:5}"
    return f"{cell:5} {shape} {mine:9.2f} {torchs:9.2f} {mine / torchs:7.2f} {difference:11.1e}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cell", choices=NETS, action="append", help="may be repeated")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each line of the table")
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    print(f"{'cell':5} {'T':>5} {'B':>4} {'I=H':>5} {'xpbptt':>9} {'torch':>9} {'ratio':>7}")
    for cell in options.cell or NETS:
        for steps, batch, size in SIZES:
            print(compare(cell, steps, batch, size, options.seconds), flush=True)


if __name__ == "__main__":
    main()
