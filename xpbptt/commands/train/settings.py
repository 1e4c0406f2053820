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

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with."""
        if self.cell not in CELLS:
            message = f"`cell` must be one of {', '.join(CELLS)}, got {self.cell!r}"
            raise ValueError(message)
        if type(self.layers) is int and self.layers > LAYERS_MOST:
            message = f"`layers` must be at most {LAYERS_MOST}, got {self.layers}"
            raise ValueError(message)
        for name, least in [("hidden", 1), ("layers", 1), ("batch", 1), ("chunk", 1), ("seed", 0)]:
            value = getattr(self, name)
            if type(value) is not int or value < least:
                message = f"`{name}` must be an integer of at least {least}, got {value!r}"
                raise ValueError(message)
        rate = self.learning_rate
        if type(rate) is not float or not (math.isfinite(rate) and rate > 0):
            message = f"`learning_rate` must be a finite number above 0, got {rate!r}"
            raise ValueError(message)


NAMES = tuple(field.name for field in fields(Settings))
