"""The time loop around a kernel: a product before each step forward, one after each step back."""

from collections.abc import Callable
from typing import Any

Array = Any
Run = Callable[..., None]


def forward(run: Run, given: tuple[Array, ...], rows: Array, weight: Array, product: Array) -> None:
    """Before each step multiply its rows (B, K), of (T, B, K), by the weight (K, N)."""
    for t, row in enumerate(list(rows)):
        row.dot(weight, product)
        run(t, *given)


def backward(
    run: Run,
    given: tuple[Array, ...],
    rows: Array,
    weight: Array,
    product: Array,
    after: Callable[[int], None] | None = None,
) -> None:
    """Run the steps from the last to the first; after each one multiply, then call ``after(t)``."""
    for t, row in reversed(list(enumerate(rows))):
        run(t, *given)
        row.dot(weight, product)
        if after is not None:
            after(t)


def single(run: Run, names: tuple[str, ...]) -> Callable[..., None]:
    """Return the step of a stream, given the kernel of a step and the names of its buffers.

    Returns
    -------
    step : callable
        ``step(x, weight_ih, h, weight_hh, *buffers)``, with the buffers of the kernel but u and v,
        the two products.
    """

    def step(x: Array, weight_ih: Array, h: Array, weight_hh: Array, *given: Array) -> None:
        products = {"u": x.dot(weight_ih.T), "v": h.dot(weight_hh.T)}
        rest = iter(given)
        run(0, *(products[name] if name in products else next(rest) for name in names))

    return step
