"""What makes a training run what it is, stored with the model."""

import math
from dataclasses import dataclass, fields

CELLS = ("rnn", "lstm", "gru")
LAYERS_MOST = 1000  # a model file names every tensor of every layer


@dataclass(frozen=True)
class Settings:
    """The settings of a training run, with the defaults of the command line.

    Raises ValueError if a setting has the wrong type or is out of range.
    """

    cell: str = "lstm"
    # The hidden units of a layer, H, and the number of layers, at most `LAYERS_MOST`.
    hidden: int = 128
    layers: int = 1
    batch: int = 32  # the number of streams that the text is cut into, read side by side, B
    # The number of characters between two updates, T: gradients flow no further back.
    chunk: int = 64
    learning_rate: float = 1e-2  # the learning rate of Adam
    seed: int = 0  # what the initial weights follow from
    halve: int = 0  # in so many steps the learning rate falls to its half; 0 for never
    weight_decay: float = 0.0  # by what share of the learning rate matrices shrink in a step
    dropout: float = 0.0  # the share of the numbers between two layers that a step drops

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with."""
        if self.cell not in CELLS:
            message = f"`cell` must be one of {', '.join(CELLS)}, got {self.cell!r}"
            raise ValueError(message)
        if type(self.layers) is int and self.layers > LAYERS_MOST:
            message = f"`layers` must be at most {LAYERS_MOST}, got {self.layers}"
            raise ValueError(message)
        for name, least in [
            ("hidden", 1),
            ("layers", 1),
            ("batch", 1),
            ("chunk", 1),
            ("seed", 0),
            ("halve", 0),
        ]:
            value = getattr(self, name)
            if type(value) is not int or value < least:
                message = f"`{name}` must be an integer of at least {least}, got {value!r}"
                raise ValueError(message)
        rate = self.learning_rate
        if type(rate) is not float or not (math.isfinite(rate) and rate > 0):
            message = f"`learning_rate` must be a finite number above 0, got {rate!r}"
            raise ValueError(message)
        for name, below in (("weight_decay", 1 / rate), ("dropout", 1.0)):
            value = getattr(self, name)
            if type(value) is not float or not 0 <= value < below:
                message = (
                    f"`{name}` must be a number of at least 0 and below {below}, got {value!r}"
                )
                raise ValueError(message)
        if self.dropout and self.layers == 1:
            message = "`dropout` is between two layers: `layers` must be at least 2, got 1"
            raise ValueError(message)


NAMES = tuple(field.name for field in fields(Settings))
ADDED = {"halve", "weight_decay", "dropout"}  # not in files of older versions
