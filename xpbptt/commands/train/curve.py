"""The curve of a training run, drawn with matplotlib from its log."""

import io
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from xpbptt._arrays import atomic
from xpbptt.commands.base.errors import TrainingError, UserError
from xpbptt.commands.train.log import Entry

SUFFIXES = (".png", ".svg", ".pdf")
_COLOURS = {"train": "#56b4e9", "held_out": "#d55e00"}  # Okabe and Ito's
_NAMES = {"train": "training text", "held_out": "held-out text"}


def check(path: Path) -> None:
    """Refuse a picture that could not be drawn or written, before anything is done.

    Raises UserError then.
    """
    if find_spec("matplotlib") is None:
        message = "a curve is drawn with matplotlib: python -m pip install matplotlib"
        raise UserError(message)
    if path.suffix not in SUFFIXES:
        message = f"{path} must end in one of {', '.join(SUFFIXES)}"
        raise UserError(message)
    try:
        atomic.probe(path)
    except (OSError, ValueError) as error:  # a ValueError is a null byte in the path
        message = f"{path} cannot be written: {getattr(error, 'strerror', None) or error}"
        raise UserError(message) from error


def save(entries: Sequence[Entry], path: Path) -> None:
    """Draw a log into a file. Raises TrainingError if it cannot be written."""
    content = io.BytesIO()
    draw(entries).savefig(content, format=path.suffix[1:], dpi=150)
    try:
        atomic.write(path, content.getvalue())
    except OSError as error:
        message = f"{path} could not be written: {error.strerror}"
        raise TrainingError(message) from error


def draw(entries: Sequence[Entry]) -> Any:
    """Return a figure of bits per character against steps, with the baselines as lines across."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - on use, not on import

    first, *reports = entries
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, colour in _COLOURS.items():
        points = [(each["step"], each[name]) for each in reports if name in each]
        dots = name == "held_out" or len(points) == 1
        style: dict[str, Any] = {"marker": "o", "markersize": 3} if dots else {}
        if points:
            axes.plot(*zip(*points, strict=True), color=colour, label=_NAMES[name], **style)
    for name, bits in first["baselines"].items():
        axes.axhline(bits, color="#666666", linestyle="--", linewidth=0.8)
        axes.annotate(
            f"{name} {bits:.2f}", (1, bits), xycoords=("axes fraction", "data"),
            xytext=(4, 0), textcoords="offset points", va="center", color="#444444", fontsize=8,
        )  # fmt: skip
    axes.set(xlabel="step", ylabel="bits per character", ylim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)
    if reports:
        axes.legend(frameon=False)
    return figure
