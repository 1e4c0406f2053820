"""What a step should take on a GPU where a sequence is one launch: a model, not a measurement."""

from collections.abc import Iterator

from xpbptt.kernels.cuda.plan import Device, Plan, Sizes, plans, refusal, stepwise

GATES, DTYPE = 4, "float32"  # of an LSTM
CARDS = {  # multiprocessors, shared memory of a block, capability, GHz: NVIDIA's data sheets
    "A100": Device(108, 166912, (8, 0), 1.41, cooperative=True),
    "H100": Device(132, 232448, (9, 0), 1.755, cooperative=True),
    "B200": Device(148, 232448, (10, 0), 1.85, cooperative=True),
}
SIZES = (
    *((1, 64), (32, 64), (6, 72), (16, 128), (64, 128), (1, 256), (16, 256), (64, 256)),
    *((1, 512), (16, 512), (64, 512), (16, 768), (1, 1024), (16, 1024)),
)
PUBLISHED = {(6, 72): (0.88, 1.7), (16, 128): (2.65, 4.1)}  # of cuDNN, forward and back

HEAD = (
    "A model, not a measurement: no GPU has run these kernels. Microseconds of one time step of an",
    "LSTM in float32, forward and back, by the plan of xpbptt.kernels.cuda.plan: P blocks share",
    "the weights, and so many groups of them the batch. The products over all steps are left out.",
    "",
)
FOOT = (
    "",
    "stepwise: a product and a launch a step from Python, which run where the other has no plan.",
    "cuDNN: float32, published with xwang233/code-snippet, cudnn-rnn-bench-62143, the GPU not",
    "named, back with dW. Elsewhere cuDNN multiplies and launches step by step: 6.5 to 10 us.",
    "Constants: to meet once a step 1.2 us (RRZE gpu-benches: 1.34 on A100, 1.1 to 1.26 on H200);",
    "a trip to L2 0.15 us (the same: 205 to 280 cycles). Guesses: 0.7 of the peak of FMA units,",
    "10 us for two calls from CuPy.",
)
TITLE = "B", "H", "forward", "P x groups", "back", "P x groups", "stepwise", "cuDNN"
WIDTHS = 4, 5, 8, 11, 8, 11, 9, 11


def lines() -> Iterator[str]:
    """Yield the table, line by line."""
    yield from HEAD
    yield _line("", TITLE)
    for card, device in CARDS.items():
        for batch, hidden in SIZES:
            ways = [Sizes(GATES, hidden, batch, DTYPE, back=back) for back in (False, True)]
            known = PUBLISHED.get((batch, hidden))
            said = f"{known[0]}, {known[1]}" if known else ""
            found = [text for sizes in ways for text in _way(device, sizes)]
            step = f"{stepwise(device, ways[0]):.1f}"
            yield _line(card, (str(batch), str(hidden), *found, step, said))
    yield from FOOT


def _line(card: str, cells: tuple[str, ...]) -> str:
    columns = (f"{cell:>{width}}" for cell, width in zip(cells, WIDTHS, strict=True))
    return " ".join([f"{card:4}", *columns]).rstrip()


def _way(device: Device, sizes: Sizes) -> tuple[str, str]:
    if refusal(device, sizes):
        return "-", "-"
    best: Plan = plans(device, sizes)[0]
    return f"{best.microseconds:.2f}", f"{best.blocks} x {best.groups}"
