"""The arguments that the nets of all cells take alike."""

from typing import TypedDict

Size = int | tuple[int, ...]
"""A hidden size H, or one for each layer, the lowest first."""


class Noise(TypedDict, total=False):
    """What `Net.forward` draws, as the arguments of `Net`; by default nothing.

    Attributes
    ----------
    dropout : float
        The share of each layer's output that is dropped before the layer above.
    recurrent_dropout : float
        The share of the state that W_hh does not see, the same at every step of a sequence.
    zoneout : float or tuple of float
        The share of the state that a step leaves what it was, of all parts of the state or of
        each.
    """

    dropout: float
    recurrent_dropout: float
    zoneout: float | tuple[float, ...]
