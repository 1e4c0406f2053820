"""The memory that a training run takes, counted before anything of it is made."""

from collections.abc import Callable
from dataclasses import replace
from math import prod

from xpbptt._arrays.tree import leaves
from xpbptt.commands.train.model import build
from xpbptt.commands.train.settings import Settings
from xpbptt.nets.stack import signature

BYTES = 4  # of a number
LAYER = 13_000  # bytes of the Python objects of a layer
# The arrays of the size of the parameters: old and new, at the start of the run, gradients.
UPDATING = 12  # while they are updated
PASSING = 7  # during the passes over a chunk
# The bytes for each step, sequence and character of the vocabulary.
LOSS = 25  # one-hot characters in four bytes and in one, logits, what the loss makes of them
BACK = 12  # of them while the net is gone back over: one-hot characters, logits, their gradient


def parameters(settings: Settings, characters: int) -> int:
    """Return the number of parameters of a model for a vocabulary of so many characters."""

    def count(layers: int) -> int:
        net = build(replace(settings, layers=layers), characters).net
        return sum(prod(leaf.shape) for _, leaf in leaves(signature.parameters(net)))

    return _of_layers(count, settings.layers) + (settings.hidden + 1) * characters


def saved(settings: Settings, characters: int) -> int:
    """Return the bytes of a model file: the parameters and their two moments."""
    return 3 * BYTES * parameters(settings, characters)


def least(settings: Settings, characters: int) -> int:
    """Return the bytes that parameters and optimiser take, whatever the chunk is."""
    count = parameters(settings, characters)
    return BYTES * UPDATING * count + LAYER * settings.layers


def training(settings: Settings, characters: int) -> int:
    """Return the bytes that a training run takes at its peak, about.

    Notes
    -----
    It tries out one step of the net, which takes less than `least`: ask for that first.
    """
    steps, chunk, batch = settings.chunk * settings.batch, settings.chunk, settings.batch
    y = BYTES * steps * settings.hidden

    def passes(layers: int) -> int:
        net = build(replace(settings, layers=layers), characters).net
        found = net.cost(chunk, batch)
        loss = found.bytes + y + steps * LOSS * characters
        back = found.peak + steps * BACK * characters
        return max(loss, back)

    during = BYTES * PASSING * parameters(settings, characters)
    during += _of_layers(passes, settings.layers) + LAYER * settings.layers
    return max(least(settings, characters), during)


def _of_layers(count: Callable[[int], int], layers: int) -> int:
    """Return what `count` returns for any number of layers: those above the first are alike."""
    if layers <= 3:  # noqa: PLR2004 - of three the middle one is like all the others
        return count(layers)
    return count(3) + (layers - 3) * (count(3) - count(2))
