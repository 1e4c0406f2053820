"""Drawing cases, each from the seed of the run and its own number alone."""

import random as stdlib_random

from .case import NETS, Case
from .constants import CONSTANTS
from .layouts import LAYOUTS

ROUND = 80  # cases that share cell and dtype: compiling a cell takes seconds, a case 20 ms


def draw(seed: int, number: int, cells: tuple[str, ...] = (), *, length: int = ROUND) -> Case:
    """Return case `number` of a run.

    Parameters
    ----------
    seed, number : int
        Of the run, of the case.
    cells : tuple of str, optional
        The cells to draw from. Default: those of `NETS` and as many random ones.
    length : int
        How many cases share a cell.
    """
    cell, dtype = _cell(_random(seed, "round", number // length), cells)
    form = _random(seed, "form", number // length)  # of the programs, which take long to compile
    random = _random(seed, "case", number)
    one_way = random.random() < 0.6
    steps, batch, inputs, hidden = _sizes(random)
    small = steps * batch * hidden < 20_000
    layers = random.choice((1, 1, 1, 2, 3)) if small else 1
    native = random.random() < 0.95
    mask = random.choice(("none", "none", "full", "empty", "padding", "gaps", "gaps"))
    return Case(
        cell=cell,
        layers=layers,
        both=not one_way and small,
        dropout=random.choice((0.0, 0.0, 0.3)) if layers > 1 else 0.0,
        steps=steps,
        batch=batch,
        inputs=inputs,
        hidden=hidden,
        dtype=dtype,
        native=native,
        scale=random.choice((0.0, 1.0, 1.0, 3.0, 10.0)),
        mask=mask,
        spoilt=mask != "none" and random.random() < 0.5,
        strategy=_strategy(random, steps),
        with_state=random.random() < 0.7,
        with_dstate=random.random() < 0.7,
        trace=random.random() < 0.3,
        clip=random.choice((None, None, None, 0.01, 0.5, 100.0)),
        layouts=_layouts(random),
        chunks=tuple(
            sorted(random.sample(range(steps + 1), min(steps + 1, random.choice((0, 1, 3)))))
        ),
        constants=_constants(random),
        seed=random.randrange(2**32),
        reset=form.random() < 0.4,
        recurrent=form.choice((0.0, 0.0, 0.4)),
        zoneout=form.choice((0.0, 0.0, 0.3)),
        per_sample=random.random() < 0.2,
    )


def _random(seed: int, *what) -> stdlib_random.Random:
    return stdlib_random.Random(repr((seed, *what)))


def _cell(random, cells: tuple[str, ...]) -> tuple[str, str]:
    chosen = random.choice(cells or ("random", *NETS))
    if chosen == "random" or (not cells and random.random() < 0.5):
        chosen = f"random-{random.randrange(2**32)}"
    return chosen, random.choice(("float64", "float64", "float32"))


def _sizes(random) -> tuple[int, int, int, int]:
    """Return T, B, I and H: mostly small, some on either side of the constants as they are."""
    tiny = random.choice((1, 2, 3, 5)), random.choice((1, 2, 3, 5, 8))
    match random.choices(("few", "long", "wide", "deep", "large"), (60, 20, 12, 5, 3))[0]:
        case "long":  # SPAN and CHUNK
            return random.choice((31, 32, 33, 63, 64, 65, 97)), random.choice((1, 1, 2, 4)), *tiny
        case "wide":  # ROWS and AT_ONCE, by the batch
            batch = random.choice(
                (511, 1023, 1024, 1025, 2048, 2049, random.randint(1, 4096), 4096)
            )
            return random.choice((1, 2, 3, 7)), batch, *tiny
        case "deep":  # SMALL, by the elements of a weight
            return (
                random.randint(1, 5),
                random.choice((1, 1, 2)),
                tiny[0],
                random.choice((63, 64, 65, 128, 130)),
            )
        case "large":  # the same, so wide that AT_ONCE gives way to ROWS
            return (
                random.randint(1, 3),
                random.choice((1, 1023, 1024, 1025, 2049)),
                tiny[0],
                random.choice((32, 128)),
            )
    steps = random.choice((0, 1, 1, 2, 3, 4, 5, 6, 9, 12))
    batch = random.choice((0, 1, 1, 1, 2, 3, 4, 7, 10))
    return steps, batch, *tiny


def _strategy(random, steps: int) -> tuple:
    number = random.randint(1, max(1, steps + 1))
    return random.choice(
        (
            ("KeepAll",),
            ("KeepAll",),
            ("KeepStates",),
            ("KeepStates",),
            ("Segments",),
            ("Segments", number),
            ("Binomial", min(number, 5)),
            ("Truncated", number),
            ("Budget", random.choice((0.0, 0.3, 0.6, 1.0))),
        )
    )


def _layouts(random) -> tuple[str, ...]:
    if random.random() < 0.5:
        return ("plain",)
    return tuple(random.choices(list(LAYOUTS), k=random.randint(1, 3)))


def _constants(random) -> tuple[tuple[str, int], ...]:
    if random.random() < 0.2:
        return ()
    return tuple(
        (name, random.choice(values)) for name, values in CONSTANTS.items() if random.random() < 0.6
    )
