"""What a step should take on a GPU where a sequence is one launch: a model, not a measurement."""

from collections.abc import Iterator

from xpbptt.kernels.cuda.plan import Device, Plan, Sizes, plans, refusal, stepwise

GATES = 4  # of an LSTM
CARDS = {  # multiprocessors, shared memory of a block, capability, GHz: NVIDIA's data sheets
    "A100": Device(108, 166912, (8, 0), 1.41, cooperative=True),
    "H100": Device(132, 232448, (9, 0), 1.755, cooperative=True),
    "B200": Device(148, 232448, (10, 0), 1.85, cooperative=True),
}
SIZES = {
    "float32": (
        *((1, 64), (32, 64), (6, 72), (16, 128), (64, 128), (1, 256), (16, 256), (64, 256)),
        *((1, 512), (16, 512), (64, 512), (16, 768), (1, 1024), (16, 1024)),
    ),
    "float16": (
        *((32, 64), (16, 128), (64, 256), (16, 512), (64, 512), (16, 768), (1, 1024)),
        *((16, 1024), (64, 1024), (16, 1536)),
    ),
}
PUBLISHED = {  # of cuDNN, forward and back
    "float32": {(6, 72): (0.88, 1.7), (16, 128): (2.65, 4.1)},
    "float16": {(16, 768): (1.96, 3.1)},
}

HEAD = (
    "A model, not a measurement: no GPU has run these kernels. Microseconds of one time step of an",
    "LSTM, forward and back, by the plan of xpbptt.kernels.cuda.plan: P blocks share the weights,",
    "and so many groups of them the batch. The products over all steps are left out.",
)
FOOT = (
    "",
    "stepwise: a product and a launch a step from Python, which run where the other has no plan.",
    "cuDNN: float32, published with xwang233/code-snippet, cudnn-rnn-bench-62143, the GPU not",
    "named, back with dW; float16, with FlashRNN, on H100, with the product of the input, and back",
    "what is left of forward and back. Elsewhere it goes step by step: 6.5 to 10 us.",
    "Constants: to meet once a step 1.2 us (RRZE gpu-benches: 1.34 on A100, 1.1 to 1.26 on H200);",
    "a trip to L2 0.15 us (the same: 205 to 280 cycles). Guesses: 0.7 of the peak of FMA units and",
    "of tensor cores, 1024 products of float16 a clock, 33 clocks until the next one can be added,",
    "10 us for two calls from CuPy.",
)
TITLE = "B", "H", "forward", "P x groups", "back", "P x groups", "stepwise", "cuDNN"
WIDTHS = 4, 5, 8, 11, 8, 11, 9, 11


def lines() -> Iterator[str]:
    """Yield the table, line by line."""
    yield from HEAD
    for dtype in SIZES:
        yield from ("", f"{dtype}:")
        yield _line("", TITLE)
        yield from _table(dtype)
    yield from FOOT


def _table(dtype: str) -> Iterator[str]:
    for card, device in CARDS.items():
        for batch, hidden in SIZES[dtype]:
            ways = [Sizes(GATES, hidden, batch, dtype, back=back) for back in (False, True)]
            known = PUBLISHED[dtype].get((batch, hidden))
            said = f"{known[0]}, {known[1]}" if known else ""
            found = [text for sizes in ways for text in _way(device, sizes)]
            step = f"{stepwise(device, ways[0]):.1f}"
            yield _line(card, (str(batch), str(hidden), *found, step, said))


def _line(card: str, cells: tuple[str, ...]) -> str:
    columns = (f"{cell:>{width}}" for cell, width in zip(cells, WIDTHS, strict=True))
    return " ".join([f"{card:4}", *columns]).rstrip()


def _way(device: Device, sizes: Sizes) -> tuple[str, str]:
    if refusal(device, sizes):
        return "-", "-"
    best: Plan = plans(device, sizes)[0]
    return f"{best.microseconds:.2f}", f"{best.blocks} x {best.groups}"
