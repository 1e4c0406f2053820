"""The time loop around a kernel: a product before each step forward, one after each step back."""

from collections.abc import Callable

from xpbptt._arrays.types import AnyArray

Run = Callable[..., None]


def forward(
    run: Run, given: tuple[AnyArray, ...], rows: AnyArray, weight: AnyArray, product: AnyArray
) -> None:
    """Run the steps in order; before each, multiply its rows (B, K) by the weight (K, N)."""
    for t, row in enumerate(list(rows)):
        row.dot(weight, product)
        run(t, *given)


def backward(
    run: Run,
    given: tuple[AnyArray, ...],
    rows: AnyArray,
    weight: AnyArray,
    product: AnyArray,
    after: Callable[[int], None] | None = None,
) -> None:
    """Run the steps from the last to the first; after each one multiply, then call ``after(t)``."""
    for t, row in reversed(list(enumerate(rows))):
        run(t, *given)
        row.dot(weight, product)
        if after is not None:
            after(t)


def single(run: Run, names: tuple[str, ...], given: tuple[str, ...]) -> Callable[..., None]:
    """Return the step of a stream.

    Parameters
    ----------
    run : callable
        The kernel of a step.
    names : tuple of str
        Its buffers; u and v are the two products.
    given : tuple of str
        The arguments of the step, see `arguments` in `kernels.programs`.
    """
    order = [("u", "v", *given).index(name) for name in names]
    x, weight_ih, weight_hh = map(given.index, ("x", "weight_ih", "weight_hh"))
    h = first_state(given)

    def step(*arrays: AnyArray) -> None:
        u, v = arrays[x].dot(arrays[weight_ih].T), arrays[h].dot(arrays[weight_hh].T)
        everything = (u, v, *arrays)
        run(0, *[everything[place] for place in order])

    return step


def first_state(given: tuple[str, ...]) -> int:
    """Return the place of the hidden state, the first part of the state, among the arguments."""
    return next(k for k, name in enumerate(given) if name.startswith("state_"))
